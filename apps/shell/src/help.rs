//! What each command is for, how it is written, and examples: the one table from which
//! `help`, the messages on wrong use, completion and docs/shell.md's list are made.

use crate::text::{Side, Table};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;

/// One command, for people.
#[derive(Clone, Copy, Debug)]
pub struct Topic {
    /// The word that is typed.
    pub name: &'static str,
    /// What it does, in one line.
    pub summary: &'static str,
    /// How it is written.
    pub usage: &'static str,
    /// More, in whole lines; may be empty.
    pub details: &'static str,
    /// Lines to type, each with what it does.
    pub examples: &'static [(&'static str, &'static str)],
}

/// Every command, grouped by what it is about.
pub const TOPICS: &[Topic] = &[
    Topic {
        name: "help",
        summary: "what there is, or how a command is used",
        usage: "help [COMMAND]",
        details: "",
        examples: &[("help", "every command in one line"), ("help spawn", "one command with examples")],
    },
    Topic {
        name: "ls",
        summary: "list a folder",
        usage: "ls [-a] [-l] [PATH]",
        details: "Folders end in /. Names that begin with . are left out; -a shows them too.\n\
                  -l adds size, version and when it was changed. Without PATH: the top folder.",
        examples: &[("ls", "the top folder"), ("ls -l /notes", "with sizes")],
    },
    Topic {
        name: "cat",
        summary: "show files",
        usage: "cat PATH...",
        details: "Byte for byte, a part at a time: a file may be larger than memory.",
        examples: &[("cat /motd", "one file"), ("cat /a /b", "two, one after the other")],
    },
    Topic {
        name: "put",
        summary: "write a file, replacing what was there",
        usage: "put [-n] [--if-version N] PATH TEXT...",
        details: "The words of TEXT are joined by one blank and end with a newline; -n leaves the newline out.\n\
                  When the command returns, the file is on the disk: a power cut does not lose it.\n\
                  --if-version N   only if the file has this version, as `stat` shows it; 0: only if nothing is there\n\
                  --input          in place of TEXT: what the input has up to its end, however much that is",
        examples: &[
            ("put /motd Hello, world", "a line"),
            ("put /list \"one\\ntwo\"", "two lines"),
            ("put --input /photo", "what is piped into `orbital run -c 'put --input /photo'`"),
        ],
    },
    Topic {
        name: "append",
        summary: "add a line to the end of a file",
        usage: "append [-n] PATH TEXT...",
        details: "As put; the file is made if it is not there.",
        examples: &[("append /list three", "one more line")],
    },
    Topic {
        name: "rm",
        summary: "remove files and folders",
        usage: "rm [-r] PATH...",
        details: "A folder goes with all that is in it, and only with -r.",
        examples: &[("rm /motd", "a file"), ("rm -r /old", "a folder")],
    },
    Topic {
        name: "mv",
        summary: "give a file or folder another path",
        usage: "mv FROM TO",
        details: "A file at TO is replaced; if TO is a folder, it moves into that.",
        examples: &[("mv /list /old/list", "into another folder")],
    },
    Topic {
        name: "cp",
        summary: "copy a file",
        usage: "cp FROM TO",
        details: "A file at TO is replaced, all or nothing; if TO is a folder, the copy lies in that. It goes a part at a\n\
                  time: a file may be larger than memory.",
        examples: &[("cp /list /old/list", "into another folder")],
    },
    Topic {
        name: "mkdir",
        summary: "make folders",
        usage: "mkdir [-p] PATH...",
        details: "-p makes the folders above too, and is content with what is there already.",
        examples: &[("mkdir /old", "a folder"), ("mkdir -p /old/2026/11", "with those above")],
    },
    Topic {
        name: "stat",
        summary: "what a path is, its size, version and last change",
        usage: "stat PATH...",
        details: "",
        examples: &[("stat /motd", "one file")],
    },
    Topic {
        name: "set",
        summary: "put a value under a key, replacing what was there",
        usage: "set [-n] [--for SECONDS] [--if-version N] KEY TEXT...",
        details: "Values lie beside the files, each under a key, which is any text and in no folder. TEXT is as for put.\n\
                  --for SECONDS    the value expires after that time: it is not there any more\n\
                  --if-version N   only if the value has this version, as `keys -l` shows it; 0: only if there is none\n\
                  --input          in place of TEXT: what the input has up to its end, however much that is; nothing of it\n\
                                   is seen before all is there",
        examples: &[
            ("set color green", "a value"),
            ("set --for 60 token 71c4", "one that is gone after a minute"),
            ("set --input photo", "what is piped into `orbital run -c 'set --input photo'`"),
        ],
    },
    Topic {
        name: "get",
        summary: "show values",
        usage: "get KEY...",
        details: "Byte for byte, a part at a time: a value may be larger than memory.",
        examples: &[("get color", "one value")],
    },
    Topic {
        name: "unset",
        summary: "remove values",
        usage: "unset [--if-version N] KEY...",
        details: "--if-version N   only if the value has this version",
        examples: &[("unset color", "one value")],
    },
    Topic {
        name: "keys",
        summary: "list the keys that have values",
        usage: "keys [-l] [PREFIX]",
        details: "-l adds size, version, when it was changed, and the time that it has left if it expires.",
        examples: &[("keys", "all of them"), ("keys -l user/", "those that begin so, with sizes")],
    },
    Topic {
        name: "transact",
        summary: "change several values, all or none",
        usage: "transact STEP...",
        details: "A STEP is `set KEY TEXT`, `unset KEY`, or `check KEY VERSION`, which lets nothing happen if the key has\n\
                  another version; 0: if it has a value. A TEXT of several words is quoted.",
        examples: &[
            ("transact set from 70 set to 30", "both or none"),
            ("transact check lock 0 set lock mine", "only if nobody has it"),
        ],
    },
    Topic {
        name: "watch",
        summary: "tell changes of values as they come",
        usage: "watch [--count N] [--for SECONDS] [PREFIX]",
        details: "Of every key, or of those that begin with PREFIX, in their order, once they are on the disk; up to Ctrl-C.\n\
                  --count N        up to so many changes\n\
                  --for SECONDS    for so long; with --count the status is 1 if fewer have come by then",
        examples: &[
            ("watch --for 10", "for ten seconds"),
            ("watch --count 1 token", "until the value changes or expires"),
        ],
    },
    Topic {
        name: "ps",
        summary: "list the processes",
        usage: "ps",
        details: "By pid: the parent's pid, state, processor time, memory, system calls, capabilities held, and name.",
        examples: &[("ps", "all of them")],
    },
    Topic {
        name: "spawn",
        summary: "start a program",
        usage: "spawn [OPTIONS] IMAGE [ARGUMENT...] [&]",
        details: "IMAGE is the name of a boot image, or a path (it has a /) to a program in storage. The shell waits for\n\
                  the program and takes over its exit status; with & it goes on, and tells when the program has ended.\n\
                  Ctrl-C ends a program that is waited for. The program gets what is written here and nothing else:\n\
                  the console (to write), the clock, and storage of its own under the name of the image.\n\
                  --name NAME      a name for people\n\
                  --env NAME=VALUE a variable\n\
                  --memory BYTES   most memory; K, M and G may follow the number\n\
                  --time SECONDS   most processor time\n\
                  --pass NAME      passes on the shell's own capability of that name too\n\
                  --input          lets it read the keyboard; Ctrl-C then goes to it\n\
                  A boot image can be started by its name alone: `notes list` is `spawn notes list`.",
        examples: &[
            ("spawn hello", "and wait for it"),
            ("spawn --time 2 /bin/sums.wasm 1 2 &", "a program of your own, in the background"),
        ],
    },
    Topic {
        name: "wait",
        summary: "wait for programs in the background",
        usage: "wait [PID...]",
        details: "Without PID: for all that this shell has started. The status is that of the last one.",
        examples: &[("spawn hello & wait", "as if it had been waited for")],
    },
    Topic {
        name: "kill",
        summary: "end processes",
        usage: "kill [--ask] PID|SERVICE...",
        details: "At once, as a crash would. --ask asks the process to end, and kills it if it has not within two seconds.\n\
                  A service that is killed is started again by init, as its restart policy says; stop ends it for good.",
        examples: &[("kill 12", "the process with pid 12"), ("kill storage", "a service, which init starts again")],
    },
    Topic {
        name: "services",
        summary: "list the services, or show one",
        usage: "services [SERVICE]",
        details: "",
        examples: &[("services", "all of them"), ("services storage", "what it needs, and how it ended last")],
    },
    Topic {
        name: "start",
        summary: "start a service that is stopped",
        usage: "start SERVICE",
        details: "Returns when the service answers, or could not be started.",
        examples: &[("start storage", "")],
    },
    Topic {
        name: "stop",
        summary: "end a service and leave it stopped",
        usage: "stop SERVICE",
        details: "The service is asked to end, and killed if it takes too long.",
        examples: &[("stop storage", "")],
    },
    Topic {
        name: "restart",
        summary: "stop a service and start it again",
        usage: "restart SERVICE",
        details: "",
        examples: &[("restart storage", "")],
    },
    Topic {
        name: "capture",
        summary: "have what a service is told written down, for debugging",
        usage: "capture SERVICE on|off",
        details: "Every message to the service and every answer, with its words and bytes, goes into a sealed file beside the\n\
                  log; `orbital capture show` on the host reads it with the machine's key. The log tells who switched it\n\
                  on. It takes a capability of its own, capture:SERVICE, with the right to capture and no other.",
        examples: &[("capture storage on", "from now on"), ("capture storage off", "no longer")],
    },
    Topic {
        name: "upgrade",
        summary: "put another image in the place of a service that runs",
        usage: "upgrade SERVICE [IMAGE]",
        details: "IMAGE is the name of a boot image, or a path (it has a /) to an executable in storage; without it, the image\n\
                  that the system came with. The new one takes over when the old one has finished what it had begun; if it does\n\
                  not become ready, the old one goes on. It stays until the machine is turned off.",
        examples: &[
            ("upgrade storage /bin/storage.wasm", "a new one"),
            ("upgrade storage", "back to the one of the boot set"),
        ],
    },
    Topic {
        name: "caps",
        summary: "list the capabilities that a process holds",
        usage: "caps [PID|NAME] [SLOT]",
        details: "Without a process: those of the shell. FROM names who held the capabilities that each one was derived\n\
                  from, nearest first. With SLOT: that one alone, with its whole chain, link by link.",
        examples: &[
            ("caps", "what the shell may do"),
            ("caps storage", "what the storage service may do"),
            ("caps storage 3", "where that one comes from"),
        ],
    },
    Topic {
        name: "self",
        summary: "what this shell is, uses and may use",
        usage: "self",
        details: "",
        examples: &[("self", "")],
    },
    Topic {
        name: "log",
        summary: "show the newest records of the system's log",
        usage: "log [-n COUNT] [--process PID|NAME]",
        details: "Each record is one system call in words: number, time since boot, process, what was asked, and what came\n\
                  of it. Without -n: 20 records. The whole log, checked, is what the host shows by `orbital log`.",
        examples: &[("log -n 5", "the last five"), ("log --process storage", "of one process")],
    },
    Topic {
        name: "time",
        summary: "the time, or how long a command takes",
        usage: "time [COMMAND...]",
        details: "",
        examples: &[("time", "now, and since boot"), ("time cat /motd", "how long that took")],
    },
    Topic {
        name: "echo",
        summary: "print words",
        usage: "echo [-n] [WORD...]",
        details: "-n leaves out the newline. $? is the status of the command before.",
        examples: &[("echo $?", "how the last command ended")],
    },
    Topic {
        name: "exit",
        summary: "end the session and turn the machine off",
        usage: "exit [STATUS]",
        details: "Without STATUS: that of the last command. Services end in order; what was put is on the disk anyway.",
        examples: &[("exit", ""), ("exit 3", "with status 3 of the host's program")],
    },
];

/// The topic of this name.
pub fn topic(name: &str) -> Option<&'static Topic> {
    TOPICS.iter().find(|topic| topic.name == name)
}

/// Every command in one line, and how lines are written.
pub fn overview() -> String {
    let mut table = Table::new(&[("COMMAND", Side::Left), ("", Side::Left)]);
    for topic in TOPICS {
        table.row(vec![topic.name.to_string(), topic.summary.to_string()]);
    }
    let mut text = table.to_text();
    text.push_str(
        "\n\
         `help COMMAND` shows how one is used. Any other name is that of a program: `hello` is `spawn hello`.\n\
         Quotes as usual: 'as it is', \"with \\n and $?\". Between commands: ; && || and &; # begins a comment.\n",
    );
    text
}

/// One command with its usage and examples.
pub fn page(topic: &Topic) -> String {
    let mut text = format!("{}: {}\n\nusage: {}\n", topic.name, topic.summary, topic.usage);
    if !topic.details.is_empty() {
        text.push('\n');
        text.push_str(topic.details);
        text.push('\n');
    }
    text.push_str("\nexamples:\n");
    let width = topic.examples.iter().map(|(line, _)| line.chars().count()).max().unwrap_or(0);
    for (line, note) in topic.examples {
        let padding = " ".repeat(width - line.chars().count());
        let note = if note.is_empty() { String::new() } else { format!("{padding}  # {note}") };
        text.push_str(&format!("  {line}{note}\n"));
    }
    text
}

/// The command whose name is nearest to `name`, if it is near: one slip off, or two in a word
/// of six letters and more.
pub fn nearest<'a>(name: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let slips = (name.chars().count() / 3).clamp(1, 2);
    names
        .map(|known| (distance(name, known), known))
        .filter(|(distance, _)| *distance <= slips)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, known)| known)
}

/// How many slips lead from one word to the other: a letter too many, too few or wrong, or two
/// neighbours swapped (optimal string alignment). Words of more than 32 letters are far.
fn distance(a: &str, b: &str) -> usize {
    const LONGEST: usize = 32;
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    if a.len() > LONGEST || b.len() > LONGEST {
        return usize::MAX;
    }
    // Of the beginning of `a` up to here, and one and two letters before: to each beginning of `b`.
    let mut row: [usize; LONGEST + 1] = core::array::from_fn(|length| length);
    let mut before = row;
    for i in 1..=a.len() {
        let earlier = core::mem::replace(&mut before, row);
        row[0] = i;
        for j in 1..=b.len() {
            let changed = before[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            row[j] = changed.min(before[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                row[j] = row[j].min(earlier[j - 2] + 1);
            }
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse::parse;

    #[test]
    fn every_command_has_a_page_with_an_example_that_parses() {
        for topic in TOPICS {
            assert!(topic.usage.starts_with(topic.name), "{}", topic.name);
            assert!(!topic.summary.is_empty() && !topic.examples.is_empty(), "{}", topic.name);
            for (line, _) in topic.examples {
                let commands = parse(line).unwrap_or_else(|error| panic!("{line}: {error}"));
                assert!(commands.iter().any(|command| command.words[0].expand(0) == topic.name), "{line}");
            }
            let page = page(topic);
            assert!(page.contains(topic.usage));
            // An option that is told is one of the command's, and the other way round.
            for option in topic.usage.split(['[', ' ', ']']).filter(|word| word.starts_with("--")) {
                assert!(page.matches(option).count() > 1, "{option} of {} is told nowhere", topic.name);
            }
            assert!(page.lines().all(|line| line.chars().count() <= 120), "{page}");
        }
    }

    #[test]
    fn the_overview_has_one_line_for_each() {
        let overview = overview();
        for topic in TOPICS {
            let lines = overview.lines().filter(|line| line.split_whitespace().next() == Some(topic.name)).count();
            assert_eq!(lines, 1, "{}", topic.name);
        }
    }

    #[test]
    fn the_book_has_every_command_as_help_has_it() {
        let book = include_str!("../../../docs/shell.md");
        for topic in TOPICS {
            let usage = topic.usage.replace('|', "\\|");
            assert!(book.contains(&format!("| `{usage}` |")), "docs/shell.md lacks `{usage}`");
        }
    }

    #[test]
    fn a_slip_finds_the_command_that_was_meant() {
        let find = |name| nearest(name, TOPICS.iter().map(|topic| topic.name));
        assert_eq!(find("sevices"), Some("services"));
        assert_eq!(find("hepl"), Some("help"));
        assert_eq!(find("lss"), Some("ls"));
        assert_eq!(find("rsetrat"), Some("restart"));
        assert_eq!(find("nope"), None, "half a word is no slip");
        assert_eq!(nearest("nope", ["notes"].into_iter()), None);
        assert_eq!(nearest("note", ["notes"].into_iter()), Some("notes"));
        assert_eq!(find("frobnicate"), None);
        assert_eq!(find(""), None);
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!((distance("abcd", "acbd"), distance("ca", "abc"), distance("", "")), (1, 3, 0));
    }
}
