//! Orbital's one contract: WIT files, and the generator of types, clients, servers
//! and numbers.
//!
//! `kernel.wit` is the world of a process (system calls) and goes through
//! wit-bindgen. Every other `wit/<service>.wit` goes through this generator, which
//! libprocess's build script calls; the result is `libprocess::interfaces::<service>`.
//!
//! # How to write `wit/<service>.wit`
//!
//! ```wit
//! package orbital:storage@0.1.0;          // package name = file name
//!
//! /// Objects under keys.
//! ///
//! /// @number 0x7000
//! interface objects {
//!     record stat { size: u64, version: u64 }
//!
//!     /// Why it was refused.
//!     variant error { not-found, quota-exceeded, corrupt(string) }
//!
//!     /// A namespace: an endpoint with the caller's badge.
//!     resource endpoint;
//!
//!     /// What lies under the key.
//!     ///
//!     /// @idempotent
//!     get: func(key: string) -> result<list<u8>, error>;
//!     subspace: func(name: string) -> result<endpoint, error>;
//!     watch: func(prefix: string, to: endpoint) -> result<_, error>;
//! }
//!
//! /// @number 0x7800
//! interface object-events {               // name ends in `-events`: one-way messages
//!     changed: func(key: string);
//! }
//! ```
//!
//! - **Package**: `orbital:<file name>@0.1.0`. One file, one package, several interfaces.
//!   `use other-interface.{a-type};` works within the file, not across files.
//!   No worlds, no functions outside an interface.
//! - **Numbers**: the doc comment of an interface has a line `@number 0xNN00`: a multiple
//!   of 0x100 in the service's range (init readiness 0x1000, control 0x2000, registry
//!   0x3000, process 0x4000, permissions 0x5000, identity 0x6000, storage 0x7000, ...;
//!   each range is 0x1000 long). An interface of types alone (to `use` from) has none.
//!   The number of a function is its position, from 0: `tag = interface + position`.
//!   At most 256 functions an interface. New functions go to the END; nothing is
//!   removed or reordered (a withdrawn one stays and answers an error). `numbers.lock`
//!   holds this: `cargo test -p wit` fails when a position changed, and
//!   `WIT_BLESS=1 cargo test -p wit` appends what is new.
//! - **Types**: bool, u8..u64, s8..s64, char, string, list, option, result, tuple, record,
//!   variant, enum, flags (at most 64). Cases and record fields are positional on the
//!   wire: changing a type breaks the wire format, so widen by new functions.
//!   Types and functions of an interface share one namespace: a type and a function
//!   cannot have the same name.
//!   Not allowed (an error with file and line): floats, stream, future, async functions,
//!   map, fixed-length list, error-context, resource methods, worlds, recursive types.
//! - **Capabilities**: a `resource` without methods is a capability type. Its name is a
//!   kind of kernel object (`endpoint`, `notification`, `region`, `image`, `process`,
//!   `thread`, `quota`, `device`, `interrupt`, `log`), or its doc has `@kind endpoint`
//!   (or another kind), or `@kind any`. `T` or `own<T>` MOVES the sender's capability,
//!   `borrow<T>` gives a capability DERIVED from the sender's with all its rights (to give less,
//!   derive first and move that). Allowed only as a direct parameter, a direct
//!   result, the direct ok of a `result`, or a direct element of a tuple that is a result or
//!   such an ok; there also as `option<T>` and `list<T>`. Results cannot be borrowed. At most
//!   8 a message in all. Never inside records, variants or other lists.
//! - **`@idempotent`** in a function's doc: its client repeats the call when the
//!   service was restarted meanwhile. No other call is ever repeated.
//! - **`@errors case, case`** in a function's doc: the cases of its error that it answers, perhaps none. Without the line, all.
//!   The generated `ERRORS` says so to the test that provokes each.
//! - **`@service name`** in an interface's doc: the name under which its clients find the
//!   service (startup capability or registry), if that is not the name of the file.
//! - **`@secret`** in the doc of a record, a variant, a field or a case: its Debug output is
//!   `<secret>`. Use it for whatever must not reach a log.
//! - **Errors**: return `result<T, error>` with a variant or enum of your own, with a doc
//!   comment per case. Restart, time-out and system errors are added by the client.
//! - **Events**: an interface named `*-events` has functions without result: messages
//!   that are sent, not called. A subscription is a function that takes an endpoint.
//! - **Payload** of a message is at most 64 KiB: chunk what may be longer.
//!
//! # What comes out
//!
//! `libprocess::interfaces::storage::objects` with
//! - the types: `Stat { size: u64, version: u64 }`, `Error::{NotFound, QuotaExceeded,
//!   Corrupt(String)}` (serde, Clone, PartialEq, Eq, Debug; enums and flags Copy, Ord too;
//!   `string` String, `list<u8>` `Vec<u8>`, `flags` a struct with constants); names are UpperCamelCase,
//!   fields and functions snake_case, Rust keywords `r#type`. Resources are no
//!   types of their own: they appear as `Cap<Endpoint>`, `Cap<Region>`, ..., `Cap<Any>`;
//! - `NUMBER: u32` and `tags::{GET, SUBSPACE, ...}: u32`;
//! - `ERRORS: &[(&str, &[&str])]`: of each function, the cases of its error that it answers;
//! - `Client`: `Client::new(Cap<Endpoint>)`, `process.connect().await?`, `Client::over(other.connection())`
//!   for a second interface of the same endpoint, `client.within(timeout)` (no function may
//!   be called `new`, `over`, `connection` or `within`); `client.get(key: &str).await ->
//!   Result<Vec<u8>, ClientError<Error>>`; strings and lists are passed by reference
//!   (`&str`, `&[T]`), records as `&Record`, capabilities as `Cap<K>` (moves) or `&Cap<K>` (derives);
//! - `trait Server`: `async fn get(&self, caller: Caller, key: String) ->
//!   Result<Vec<u8>, Error>`; everything owned, capabilities `Cap<K>`. A function without
//!   `result` returns its plain type;
//! - `Serve(&server)`: the dispatcher, to be given to `libprocess::serve`; a tuple of
//!   several serves several interfaces on one endpoint.
#![forbid(unsafe_code)]

pub mod generate;
pub mod model;
pub mod numbers;
pub mod read;

use model::File;
use read::Mistake;
use std::path::Path;

pub use generate::generate;
pub use read::read;

/// Reads every file of a folder but `kernel.wit`, in alphabetical order.
pub fn read_folder(folder: &Path) -> Result<Vec<File>, Vec<Mistake>> {
    let broken =
        |error: std::io::Error| vec![Mistake { place: folder.display().to_string(), message: error.to_string() }];
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(broken)? {
        let path = entry.map_err(broken)?.path();
        if path.extension().is_some_and(|extension| extension == "wit") {
            paths.push(path);
        }
    }
    paths.sort();
    let (mut files, mut mistakes) = (Vec::new(), Vec::new());
    for path in paths {
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        if name == "kernel" {
            continue;
        }
        let text = std::fs::read_to_string(&path).map_err(broken)?;
        match read(&name, &path.display().to_string(), &text) {
            Ok(file) => files.push(file),
            Err(more) => mistakes.extend(more),
        }
    }
    if mistakes.is_empty() { Ok(files) } else { Err(mistakes) }
}

/// Rust for every file of a folder but `kernel.wit`. `root` is the path to libprocess in the
/// generated code: `crate` inside it, `::libprocess` elsewhere.
pub fn generate_folder(folder: &Path, root: &str) -> Result<String, Vec<Mistake>> {
    Ok(read_folder(folder)?.iter().map(|file| generate(file, root)).collect())
}
