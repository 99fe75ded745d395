//! What the director of apps/hostile must tell, on any host: each deed passed, and the log has of it what it must.

/// All deeds, in their order; each is the name of the process in the log, too.
pub const DEEDS: [&str; 18] = [
    "loops",
    "takes-all-memory",
    "recurses",
    "guesses-handles",
    "uses-stale-handles",
    "sends-too-much",
    "floods",
    "forks",
    "plays-with-quotas",
    "brings-bad-images",
    "revokes-thousands",
    "waits-for-nothing",
    "traps-while-called",
    "exits-while-called",
    "loops-while-called",
    "is-killed-while-called",
    "call-cycle",
    "call-chain",
];

/// Holds what the director wrote to the console, and the log in words, against the deeds that it was to direct. An error says
/// what was otherwise.
pub fn check(output: &str, log: &str, deeds: &[&str]) -> Result<(), String> {
    let told: Vec<&str> = output.lines().filter_map(|line| line.trim_end().strip_prefix("passed ")).collect();
    let named = |told: &&'_ str| told.split_once("; on record: ").map_or(*told, |(name, _)| name).to_owned();
    let passed: Vec<String> = told.iter().map(named).collect();
    if passed != deeds {
        return Err(format!("passed is {passed:?}, and not {deeds:?}:\n{output}"));
    }
    for (name, words) in told.iter().filter_map(|told| told.split_once("; on record: ")) {
        if !log.lines().any(|line| line.contains(name) && line.contains(words)) {
            return Err(format!("{name}: no line of the log says {words:?} of it"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::check;

    #[test]
    fn what_did_not_pass_or_is_not_on_record_is_named() {
        let output = "passed loops; on record: ended: Killed\r\npassed call-chain\r\n";
        let log = "12 loops ended: Killed\n13 other said nothing\n";
        assert_eq!(check(output, log, &["loops", "call-chain"]), Ok(()));
        for (output, log, cause) in [
            ("passed loops\n", log, "not [\"loops\", \"call-chain\"]"),
            ("passed loops\nfailed call-chain: it waits\n", log, "it waits"),
            (output, "12 loops ended: Exited\n13 other ended: Killed\n", "loops: no line of the log"),
        ] {
            let error = check(output, log, &["loops", "call-chain"]).unwrap_err();
            assert!(error.contains(cause), "{error}");
        }
    }
}
