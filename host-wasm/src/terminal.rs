//! The terminal that a person sits at: its size, keys as they come, and its state put
//! back however the program ends.

use rustix::stdio::{stdin, stdout};
use rustix::termios::{
    InputModes, LocalModes, OptionalActions, SpecialCodeIndex, Termios, isatty, tcgetattr, tcgetwinsize, tcsetattr,
};
use std::sync::OnceLock;

/// How the terminal was before anything changed it.
static ORIGINAL: OnceLock<Termios> = OnceLock::new();

/// Whether both input and output are a terminal.
pub fn is_interactive() -> bool {
    isatty(stdin()) && isatty(stdout())
}

/// Columns of the terminal; 0 if it does not say.
pub fn columns() -> u16 {
    tcgetwinsize(stdout()).map_or(0, |size| size.ws_col)
}

/// Keys as they come, Ctrl-C among them, without echo; or whole lines with echo. Output
/// is written as ever.
pub fn set_raw(raw: bool) {
    let Ok(current) = tcgetattr(stdin()) else { return };
    let original = ORIGINAL.get_or_init(|| current.clone());
    let mut wanted = original.clone();
    if raw {
        wanted
            .local_modes
            .remove(LocalModes::ICANON | LocalModes::ECHO | LocalModes::ECHONL | LocalModes::ISIG | LocalModes::IEXTEN);
        wanted.input_modes.remove(InputModes::IXON | InputModes::ICRNL);
        wanted.special_codes[SpecialCodeIndex::VMIN] = 1;
        wanted.special_codes[SpecialCodeIndex::VTIME] = 0;
    }
    // A terminal that refuses stays as it is; lines still work.
    let _ = tcsetattr(stdin(), OptionalActions::Now, &wanted);
}

/// Puts the terminal back as it was.
pub fn restore() {
    if let Some(original) = ORIGINAL.get() {
        // There is nobody to tell any more.
        let _ = tcsetattr(stdin(), OptionalActions::Now, original);
    }
}
