//! Writes Rust for a [`File`]: a module per file, in it a module per interface.

mod calls;
mod types;

use crate::model::{File, Interface, Type};
use std::fmt::Write;

/// Rust for one file. `root` is the path to libprocess: `crate` inside it.
pub fn generate(file: &File, root: &str) -> String {
    let mut code = Code::new(root);
    code.line(&format!("/// From `wit/{}.wit`.", file.name));
    code.line("#[allow(dead_code, clippy::all)]");
    code.line(&format!("pub mod {} {{", snake(&file.name)));
    for interface in &file.interfaces {
        code.docs(&interface.docs);
        code.line(&format!("pub mod {} {{", snake(&interface.name)));
        interface_body(&mut code, interface);
        code.line("}");
    }
    code.line("}");
    code.text
}

fn interface_body(code: &mut Code, interface: &Interface) {
    for definition in &interface.types {
        types::definition(code, definition);
    }
    if let Some(number) = interface.number {
        calls::numbers(code, interface, number);
        calls::client(code, interface);
        calls::server(code, interface);
        calls::dispatcher(code, interface);
    }
}

/// Rust being written; lines are indented by the braces in them.
pub(crate) struct Code {
    text: String,
    depth: usize,
    root: String,
}

impl Code {
    fn new(root: &str) -> Code {
        Code { text: String::new(), depth: 0, root: root.to_string() }
    }

    /// Adds a line. `$` stands for the path to libprocess.
    pub fn line(&mut self, line: &str) {
        let line = line.replace('$', &self.root);
        self.put(&line);
    }

    /// Adds lines, each as [`Code::line`].
    pub fn lines(&mut self, lines: &str) {
        for line in lines.lines().map(str::trim).filter(|line| !line.is_empty()) {
            self.line(line);
        }
    }

    fn put(&mut self, line: &str) {
        let closes = line.chars().take_while(|c| "})]".contains(*c)).filter(|c| *c == '}').count();
        let opens = line.matches('{').count();
        let all_closes = line.matches('}').count();
        let depth = self.depth.saturating_sub(closes);
        let _ = writeln!(self.text, "{:1$}{line}", "", depth * 4);
        self.depth = (self.depth + opens).saturating_sub(all_closes);
    }

    /// Adds a doc comment.
    pub fn docs(&mut self, docs: &str) {
        for line in docs.lines() {
            let depth = self.depth * 4;
            let _ = writeln!(self.text, "{:depth$}#[doc = {:?}]", "", format!(" {line}"));
        }
    }
}

/// `UpperCamelCase`.
pub(crate) fn camel(name: &str) -> String {
    name.split('-')
        .map(|word| {
            let mut characters = word.chars();
            let first = characters.next().map(|c| c.to_ascii_uppercase());
            first.into_iter().chain(characters).collect::<String>()
        })
        .collect()
}

/// `snake_case`, of a keyword `r#type`.
pub(crate) fn snake(name: &str) -> String {
    let name = name.replace('-', "_").to_lowercase();
    const KEYWORDS: [&str; 44] = [
        "abstract", "as", "async", "await", "become", "box", "break", "const", "continue", "do", "dyn", "else", "enum",
        "extern", "false", "final", "fn", "for", "gen", "if", "impl", "in", "let", "loop", "macro", "match", "mod",
        "move", "mut", "override", "priv", "pub", "ref", "return", "static", "struct", "trait", "true", "try", "type",
        "unsafe", "use", "where", "while",
    ];
    // Keywords that cannot be raw identifiers.
    if ["self", "super", "crate"].contains(&name.as_str()) {
        return name + "_";
    }
    if KEYWORDS.contains(&name.as_str()) { format!("r#{name}") } else { name }
}

/// `SCREAMING_SNAKE_CASE`.
pub(crate) fn screaming(name: &str) -> String {
    name.replace('-', "_").to_uppercase()
}

/// The owned Rust type.
pub(crate) fn owned(type_: &Type) -> String {
    match type_ {
        Type::Bool => "bool".into(),
        Type::U8 => "u8".into(),
        Type::U16 => "u16".into(),
        Type::U32 => "u32".into(),
        Type::U64 => "u64".into(),
        Type::S8 => "i8".into(),
        Type::S16 => "i16".into(),
        Type::S32 => "i32".into(),
        Type::S64 => "i64".into(),
        Type::Char => "char".into(),
        Type::String => "$::generated::String".into(),
        Type::Bytes => "$::generated::Vec<u8>".into(),
        Type::List(inner) => format!("$::generated::Vec<{}>", owned(inner)),
        Type::Option(inner) => format!("::core::option::Option<{}>", owned(inner)),
        Type::Result(ok, error) => {
            let side = |side: &Option<Box<Type>>| side.as_ref().map_or("()".to_string(), |type_| owned(type_));
            format!("::core::result::Result<{}, {}>", side(ok), side(error))
        }
        Type::Tuple(types) => tuple(types.iter().map(owned)),
        Type::Named { name, .. } => camel(name),
    }
}

/// A tuple of these; of one too.
pub(crate) fn tuple(items: impl Iterator<Item = String>) -> String {
    let items: Vec<String> = items.collect();
    match items.as_slice() {
        [one] => format!("({one},)"),
        items => format!("({})", items.join(", ")),
    }
}
