//! The editor against a terminal emulator (`vt100`): what a person sees must be the
//! prompt and the line, with the cursor where the next character goes.

use super::*;
use alloc::format;
use alloc::vec;
use core::num::NonZeroU16;
use proptest::prelude::*;

const PROMPT: &str = "> ";

fn terminal(columns: impl TryInto<NonZeroU16>) -> vt100::Parser {
    let columns = columns.try_into().unwrap_or(NonZeroU16::MIN);
    vt100::Parser::new(NonZeroU16::new(200).unwrap_or(NonZeroU16::MIN), columns, 0)
}

struct Desk {
    editor: Editor,
    history: History,
    screen: vt100::Parser,
}

impl Desk {
    fn new(columns: u16) -> Desk {
        let mut desk = Desk {
            editor: Editor::new(columns.into()),
            history: History::from_text("first\nsecond one\n"),
            screen: terminal(columns),
        };
        let draw = desk.editor.begin(PROMPT, columns.into());
        desk.screen.process(draw.as_bytes());
        desk
    }

    fn press(&mut self, key: Key) -> Outcome {
        let outcome = self.editor.key(key, &self.history);
        match &outcome {
            Outcome::Draw(draw) | Outcome::Line { draw, .. } | Outcome::Cancelled(draw) | Outcome::EndOfInput(draw) => {
                self.screen.process(draw.as_bytes())
            }
            Outcome::Complete(_) => {}
        }
        outcome
    }

    fn keys(mut self, keys: &[Key]) -> Desk {
        for &key in keys {
            self.press(key);
        }
        self
    }

    fn text(mut self, text: &str) -> Desk {
        for c in text.chars() {
            self.press(Key::Char(c));
        }
        self
    }

    /// Panics unless the screen shows prompt and line, and nothing else, cursor in place.
    fn check(&self) {
        let screen = self.screen.screen();
        let mut model = terminal(screen.size().1);
        let before: String = self.editor.line[..self.editor.cursor].iter().collect();
        let after: String = self.editor.line[self.editor.cursor..].iter().collect();
        model.process(format!("{PROMPT}{before}{after}").as_bytes());
        assert_eq!(screen.contents().trim_end(), model.screen().contents().trim_end());
        // The cursor stands where the emulator would put a character now.
        let (row, column) = screen.cursor_position();
        let mut marked = terminal(screen.size().1);
        let mark = if after.is_empty() { String::from("x") } else { after };
        marked.process(format!("{PROMPT}{before}").as_bytes());
        let first = mark.chars().next().map(String::from).unwrap_or_default();
        let (prow, pcolumn) = marked.screen().cursor_position();
        marked.process(first.as_bytes());
        let (nrow, _) = marked.screen().cursor_position();
        let expected = if nrow > prow { (nrow, 0) } else { (prow, pcolumn) };
        assert_eq!((row, column), expected, "cursor of {before:?}|{mark:?}");
    }
}

fn line_of(keys: &[Key]) -> String {
    Desk::new(80).keys(keys).editor.line()
}

fn typed(text: &str, keys: &[Key]) -> String {
    Desk::new(80).text(text).keys(keys).editor.line()
}

#[test]
fn text_is_inserted_where_the_cursor_is() {
    let desk = Desk::new(80).text("helo").keys(&[Key::Left]).text("l");
    assert_eq!(desk.editor.line(), "hello");
    desk.check();
    let desk = desk.keys(&[Key::Home]).text("> ").keys(&[Key::End]).text("!");
    assert_eq!(desk.editor.line(), "> hello!");
    desk.check();
}

#[test]
fn each_editing_key_does_what_it_does_elsewhere() {
    assert_eq!(typed("abc", &[Key::Backspace]), "ab");
    assert_eq!(typed("abc", &[Key::Home, Key::Delete]), "bc");
    assert_eq!(typed("abc", &[Key::Control('a'), Key::Control('d')]), "bc");
    assert_eq!(typed("abc", &[Key::Left, Key::Control('k')]), "ab");
    assert_eq!(typed("abc", &[Key::Left, Key::Control('u')]), "c");
    assert_eq!(typed("put /a/b  ", &[Key::Control('w')]), "put ");
    assert_eq!(typed("put /a/b", &[Key::WordLeft, Key::Control('k')]), "put /a/");
    assert_eq!(typed("one two", &[Key::Home, Key::WordRight, Key::Control('k')]), "one");
    assert_eq!(typed("one two", &[Key::Home, Key::Alt('d')]), " two");
    assert_eq!(typed("ab", &[Key::Control('t')]), "ba");
    assert_eq!(typed("one two", &[Key::Control('w'), Key::Home, Key::Control('y')]), "twoone ");
}

#[test]
fn at_the_edges_keys_ring_the_bell_and_change_nothing() {
    let edges = [Key::Left, Key::Right, Key::Backspace, Key::Delete, Key::Down, Key::Unknown, Key::Control('y')];
    for key in edges {
        let mut desk = Desk::new(80);
        assert_eq!(desk.press(key), Outcome::Draw(String::from("\x07")), "{key:?}");
        assert_eq!(desk.editor.line(), "");
        desk.check();
    }
}

#[test]
fn the_history_is_walked_and_the_written_line_kept() {
    let up = Key::Up;
    let down = Key::Down;
    assert_eq!(line_of(&[up]), "second one");
    assert_eq!(line_of(&[up, up]), "first");
    assert_eq!(line_of(&[up, up, up]), "first");
    assert_eq!(line_of(&[up, up, down]), "second one");
    assert_eq!(typed("mine", &[up, up, down, down]), "mine");
    assert_eq!(typed("mine", &[Key::Control('p'), Key::Control('n')]), "mine");
}

#[test]
fn enter_gives_the_line_wherever_the_cursor_is() {
    let mut desk = Desk::new(10).text("a long line that wraps").keys(&[Key::Home]);
    let Outcome::Line { line, .. } = desk.press(Key::Enter) else { panic!("enter ends the line") };
    assert_eq!(line, "a long line that wraps");
    desk.screen.process(b"next");
    assert_eq!(desk.screen.screen().contents(), "> a long line that wraps\nnext");
}

#[test]
fn control_c_gives_the_line_up_and_control_d_ends_only_an_empty_one() {
    let mut desk = Desk::new(80).text("abc");
    assert!(matches!(desk.press(Key::Control('c')), Outcome::Cancelled(_)));
    assert_eq!(desk.screen.screen().contents(), "> abc^C");
    assert!(matches!(Desk::new(80).press(Key::Control('d')), Outcome::EndOfInput(_)));
    assert!(matches!(Desk::new(80).text("x").press(Key::Control('d')), Outcome::Draw(_)));
}

#[test]
fn control_l_leaves_only_the_line() {
    let mut desk = Desk::new(80);
    desk.screen.process(b"\x1b[5;1Hold text\r\n> ");
    let desk = desk.text("abc").keys(&[Key::Left, Key::Control('l')]);
    assert_eq!(desk.screen.screen().contents(), "> abc");
    desk.check();
}

#[test]
fn completion_is_given_the_text_before_the_cursor_and_inserts() {
    let mut desk = Desk::new(80).text("cat /no x").keys(&[Key::Left, Key::Left]);
    assert_eq!(desk.press(Key::Tab), Outcome::Complete(String::from("cat /no")));
    let draw = desk.editor.complete("tes");
    desk.screen.process(draw.as_bytes());
    assert_eq!(desk.editor.line(), "cat /notes x");
    desk.check();
    assert_eq!(desk.editor.complete(""), "\x07");
}

#[test]
fn lines_put_between_leave_the_line_as_it_was() {
    let mut desk = Desk::new(12).text("cat /a long path").keys(&[Key::Left]);
    let draw = desk.editor.interject("one  two\r\n");
    desk.screen.process(draw.as_bytes());
    assert_eq!(desk.screen.screen().contents(), "> cat /a long path\none  two\n> cat /a long path");
    let desk = desk.keys(&[Key::Home]).text("z");
    assert!(desk.screen.screen().contents().ends_with("> zcat /a long path"));
}

#[test]
fn a_line_has_a_longest_length() {
    let long: Vec<char> = vec!['x'; CAPACITY];
    let mut editor = Editor::new(80);
    editor.begin(PROMPT, 80);
    editor.insert(&long);
    assert_eq!(editor.key(Key::Char('y'), &History::default()), bell());
    assert_eq!(editor.line().len(), CAPACITY);
}

fn any_key() -> impl Strategy<Value = Key> {
    prop_oneof![
        10 => prop_oneof![Just('a'), Just(' '), Just('/'), Just('ß'), Just('日'), Just('本')].prop_map(Key::Char),
        1 => prop_oneof![
            Just(Key::Left), Just(Key::Right), Just(Key::Home), Just(Key::End), Just(Key::WordLeft),
            Just(Key::WordRight), Just(Key::Backspace), Just(Key::Delete), Just(Key::Up), Just(Key::Down),
            Just(Key::Control('k')), Just(Key::Control('u')), Just(Key::Control('w')), Just(Key::Control('y')),
            Just(Key::Control('t')), Just(Key::Control('l')), Just(Key::Alt('d')), Just(Key::Unknown),
        ],
    ]
}

proptest! {
    #[test]
    fn the_screen_always_shows_the_line(columns in 4_u16..30, keys in proptest::collection::vec(any_key(), 0..80)) {
        let mut desk = Desk::new(columns);
        for key in keys {
            desk.press(key);
            desk.check();
        }
    }
}
