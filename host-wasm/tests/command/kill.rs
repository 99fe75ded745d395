//! The host is killed at random instants of a write load, again and again, on one state folder. After each kill: what was
//! acknowledged is there, no value and no transaction by half, the log verifies, the disk agrees with itself, and the system boots.

use super::*;
use scenario::transactions::Transactions;
use std::collections::BTreeMap;

/// Kills: 50, or as many as ORBITAL_KILLS says.
fn kills() -> u64 {
    std::env::var("ORBITAL_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(50)
}

/// What a seed makes of it (SplitMix64).
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ z >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ z >> 31) % bound
    }
}

const KEYS: u64 = 4;

/// Commands of a round. One in six is a transaction, the others are puts.
const COMMANDS: u64 = 60;

fn is_transaction(number: u64) -> bool {
    number % 6 == 1
}

/// The value of a put says its number all the way through.
fn value(round: u64, number: u64) -> String {
    format!("{round}-{number} ").repeat([3, 40, 300][(number % 3) as usize])
}

#[test]
fn at_random_instants_of_a_write_load_it_loses_nothing() {
    let seed: u64 = std::env::var("ORBITAL_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(20_261_121);
    println!("ORBITAL_SEED={seed}");
    let mut random = Random(seed);
    let system = System::new();
    // By key: what it may have. Only the first is sure until more was begun.
    good(&system.run(["run", "-c", "put /k0 begun; put /k1 begun; put /k2 begun; put /k3 begun"]));
    let mut possible: BTreeMap<u64, Vec<String>> = (0..KEYS).map(|key| (key, vec!["begun".to_owned()])).collect();
    let mut transactions = Transactions::default();
    let (mut acknowledged, mut whole, mut torn) = (0, 0, 0);
    let kills = kills();
    for round in 0..=kills {
        let mut child = system
            .command::<&str>([])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut input = child.stdin.take().unwrap();
        let look: String = possible.keys().map(|key| format!("cat /k{key}; echo; echo end-{key}\n")).collect();
        input.write_all(format!("{look}notes list\necho begun\n").as_bytes()).unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        for (key, values) in &possible {
            let end = format!("end-{key}");
            let found: Vec<String> = lines.by_ref().take_while(|line| *line != end).collect();
            let found = found.join("");
            let found = found.trim();
            assert!(
                values.iter().any(|value| value.trim() == found),
                "round {round}, seed {seed}: /k{key} has {found:.60}"
            );
        }
        let mut begun = false;
        let notes: Vec<String> = lines
            .by_ref()
            .take_while(|line| {
                begun = line == "begun";
                !begun
            })
            .collect();
        assert!(begun, "round {round}, seed {seed}: it does not boot");
        let notes = notes.iter().map(String::as_str);
        transactions.look(notes).unwrap_or_else(|why| panic!("round {round}, seed {seed}: {why}"));
        let mut script = String::new();
        if round < kills {
            let removal = random.below(8);
            for number in 0..COMMANDS {
                if number == removal
                    && let Some(removal) = transactions.remove()
                {
                    script.push_str(&format!("{removal} && echo removed\n"));
                }
                let work = if is_transaction(number) {
                    transactions.begin(round * COMMANDS + number)
                } else {
                    format!("put /k{} '{}'", number % KEYS, value(round, number))
                };
                script.push_str(&format!("{work} && echo done-{number}\n"));
            }
        }
        // It may be killed before it has read all of this.
        let writer = std::thread::spawn(move || drop(input.write_all(script.as_bytes())));
        if round == kills {
            writer.join().unwrap();
            assert!(child.wait().unwrap().success());
            break;
        }
        let wanted = random.below(8);
        let mut done = None;
        let mut note = |line: String, done: &mut Option<u64>| {
            if line == "removed" {
                transactions.acknowledge_removal();
            }
            if let Some(number) = line.strip_prefix("done-") {
                *done = number.parse().ok().or(*done);
            }
        };
        while wanted > 0 && done.is_none_or(|done| done + 1 < wanted) {
            let Some(line) = lines.next() else { break };
            note(line, &mut done);
        }
        std::thread::sleep(Duration::from_micros(random.below(4_000)));
        child.kill().unwrap();
        child.wait().unwrap();
        // What it had said before it was killed was acknowledged as well.
        for line in lines {
            note(line, &mut done);
        }
        writer.join().unwrap();
        for number in 0..COMMANDS {
            let is_done = done.is_some_and(|done| number <= done);
            if is_transaction(number) {
                if is_done {
                    transactions.acknowledge(round * COMMANDS + number);
                    whole += 1;
                }
                continue;
            }
            let values = possible.entry(number % KEYS).or_default();
            if is_done {
                values.clear();
                acknowledged += 1;
            }
            values.push(value(round, number));
        }
        let mut verified = system.run(["log", "verify"]);
        if verified.status.code() == Some(1) {
            // It died while it wrote a block or replaced a file, of which nothing was acknowledged: the next start is to mend it.
            bad(&verified, 1, "");
            assert!(err(&verified).contains("the next start"), "round {round}, seed {seed}: {}", err(&verified));
            good(&system.run(["run", "-c", "exit"]));
            torn += 1;
            verified = system.run(["log", "verify"]);
        }
        assert!(good(&verified).contains("whole"), "round {round}, seed {seed}");
        good(&system.run(["disk", "check"]));
    }
    println!(
        "{kills} kills ({torn} while a file of the log was written), {acknowledged} puts and {whole} transactions acknowledged"
    );
    assert!(acknowledged > kills / 2 && whole > kills / 8);
    good(&system.run(["log", "replay"]));
}
