//! The named types of an interface.

use super::{Code, camel, owned, screaming, snake};
use crate::model::{Body, Member, Type, TypeDefinition};

const COPY: &str =
    "#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, $::generated::Serialize, $::generated::Deserialize";
const DATA: &str =
    "#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, $::generated::Serialize, $::generated::Deserialize";

/// One type.
pub(super) fn definition(code: &mut Code, definition: &TypeDefinition) {
    let name = camel(&definition.name);
    match &definition.body {
        Body::Alias(type_) => {
            code.docs(&definition.docs);
            code.line(&format!("pub type {name} = {};", owned(type_)));
        }
        Body::Used { interface, name: used } => {
            code.docs(&definition.docs);
            code.line(&format!("pub type {name} = super::{}::{};", snake(interface), camel(used)));
        }
        Body::Record(fields) => {
            let hidden = definition.secret || fields.iter().any(|field| field.secret);
            head(code, definition, DATA, hidden);
            code.line(&format!("pub struct {name} {{"));
            for field in fields {
                code.docs(&field.docs);
                bytes(code, field);
                code.line(&format!("pub {}: {},", snake(&field.name), payload(field)));
            }
            code.line("}");
            if hidden {
                debug_of_record(code, definition, fields);
            }
            if definition.is_error {
                display_as_debug(code, &name);
            }
        }
        Body::Variant(cases) => {
            let hidden = definition.secret || cases.iter().any(|case| case.secret);
            head(code, definition, DATA, hidden);
            code.line(&format!("pub enum {name} {{"));
            for case in cases {
                code.docs(&case.docs);
                match &case.type_ {
                    None => code.line(&format!("{},", camel(&case.name))),
                    Some(Type::Bytes) => code.line(&format!(
                        "{}(#[serde(with = \"$::generated::serde_bytes\")] {}),",
                        camel(&case.name),
                        payload(case)
                    )),
                    Some(_) => code.line(&format!("{}({}),", camel(&case.name), payload(case))),
                }
            }
            code.line("}");
            if hidden {
                debug_of_variant(code, definition, cases);
            }
            if definition.is_error {
                display_of_cases(code, &name, cases, definition.secret);
            }
        }
        Body::Enum(cases) => {
            head(code, definition, COPY, false);
            code.line(&format!("pub enum {name} {{"));
            for case in cases {
                code.docs(&case.docs);
                code.line(&format!("{},", camel(&case.name)));
            }
            code.line("}");
            code.line(&format!("impl {name} {{"));
            code.line("/// Every case, in the order of the interface.");
            let all: Vec<String> = cases.iter().map(|case| format!("{name}::{}", camel(&case.name))).collect();
            code.line(&format!("pub const ALL: [{name}; {}] = [{}];", cases.len(), all.join(", ")));
            code.line("/// Its name as in the interface.");
            code.line("pub const fn name(self) -> &'static str {");
            code.line("match self {");
            for case in cases {
                code.line(&format!("{name}::{} => {:?},", camel(&case.name), case.name));
            }
            code.lines("}\n}\n}");
            if definition.is_error {
                display_of_cases(code, &name, cases, definition.secret);
            }
        }
        Body::Flags(flags) => flags_definition(code, definition, flags),
    }
}

fn head(code: &mut Code, definition: &TypeDefinition, derives: &str, own_debug: bool) {
    code.docs(&definition.docs);
    code.line(&format!("{derives}{})]", if own_debug { "" } else { ", Debug" }));
    code.line("#[serde(crate = \"$::generated::serde\")]");
}

fn bytes(code: &mut Code, member: &Member) {
    if member.type_ == Some(Type::Bytes) {
        code.line("#[serde(with = \"$::generated::serde_bytes\")]");
    }
}

fn payload(member: &Member) -> String {
    member.type_.as_ref().map_or(String::new(), owned)
}

fn debug_of_record(code: &mut Code, definition: &TypeDefinition, fields: &[Member]) {
    let name = camel(&definition.name);
    debug_head(code, &name);
    if definition.secret {
        code.line("f.write_str(\"<secret>\")");
    } else {
        code.line(&format!("f.debug_struct({name:?})"));
        for field in fields {
            let field_name = snake(&field.name);
            if field.secret {
                code.line(&format!(".field({field_name:?}, &::core::format_args!(\"<secret>\"))"));
            } else {
                code.line(&format!(".field({field_name:?}, &self.{field_name})"));
            }
        }
        code.line(".finish()");
    }
    code.lines("}\n}");
}

fn debug_of_variant(code: &mut Code, definition: &TypeDefinition, cases: &[Member]) {
    let name = camel(&definition.name);
    debug_head(code, &name);
    if definition.secret {
        code.line("f.write_str(\"<secret>\")");
    } else {
        code.line("match self {");
        for case in cases {
            let case_name = camel(&case.name);
            match (&case.type_, case.secret) {
                (None, _) => code.line(&format!("Self::{case_name} => f.write_str({case_name:?}),")),
                (Some(_), true) => {
                    code.line(&format!("Self::{case_name}(_) => f.write_str(\"{case_name}(<secret>)\"),"));
                }
                (Some(_), false) => code
                    .line(&format!("Self::{case_name}(value) => f.debug_tuple({case_name:?}).field(value).finish(),")),
            }
        }
        code.line("}");
    }
    code.lines("}\n}");
}

fn debug_head(code: &mut Code, name: &str) {
    code.line(&format!("impl ::core::fmt::Debug for {name} {{"));
    code.line("fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {");
}

fn display_head(code: &mut Code, name: &str) {
    code.line(&format!("impl ::core::fmt::Display for {name} {{"));
    code.line("fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {");
}

fn display_as_debug(code: &mut Code, name: &str) {
    display_head(code, name);
    code.line("::core::fmt::Debug::fmt(self, f)");
    code.lines("}\n}");
    code.line(&format!("impl ::core::error::Error for {name} {{}}"));
}

/// What a case says to people: the first sentence of its doc comment.
fn sentence(case: &Member) -> String {
    let first = case.docs.split("\n\n").next().unwrap_or_default().replace('\n', " ");
    let first = first.split(". ").next().unwrap_or_default().trim().trim_end_matches('.');
    if first.is_empty() {
        return case.name.replace('-', " ");
    }
    let mut characters = first.chars();
    match (characters.next(), characters.clone().next()) {
        // `TLS` stays, `The` becomes `the`.
        (Some(upper), Some(second)) if upper.is_uppercase() && !second.is_uppercase() => {
            upper.to_lowercase().chain(characters).collect()
        }
        _ => first.to_string(),
    }
}

fn display_of_cases(code: &mut Code, name: &str, cases: &[Member], secret: bool) {
    display_head(code, name);
    code.line("match self {");
    for case in cases {
        let (case_name, says) = (camel(&case.name), sentence(case));
        match &case.type_ {
            None => code.line(&format!("{name}::{case_name} => f.write_str({says:?}),")),
            Some(_) if secret || case.secret => code.line(&format!("{name}::{case_name}(_) => f.write_str({says:?}),")),
            Some(type_) => {
                let format = if shows(type_) { "{}: {value}" } else { "{}: {value:?}" };
                code.line(&format!(
                    "{name}::{case_name}(value) => f.write_fmt(::core::format_args!({format:?}, {says:?})),"
                ));
            }
        }
    }
    code.lines("}\n}\n}");
    code.line(&format!("impl ::core::error::Error for {name} {{}}"));
}

/// Whether values of it can be shown to people.
fn shows(type_: &Type) -> bool {
    !matches!(
        type_,
        Type::Bytes | Type::List(_) | Type::Option(_) | Type::Result(..) | Type::Tuple(_) | Type::Named { .. }
    )
}

fn flags_definition(code: &mut Code, definition: &TypeDefinition, flags: &[Member]) {
    let name = camel(&definition.name);
    let repr = match flags.len() {
        0..=8 => "u8",
        9..=16 => "u16",
        17..=32 => "u32",
        _ => "u64",
    };
    code.docs(&definition.docs);
    code.line(&format!("{COPY}, Debug, Default)]"));
    code.line(&format!("#[serde(crate = \"$::generated::serde\", try_from = {repr:?}, into = {repr:?})]"));
    code.line(&format!("pub struct {name}({repr});"));
    code.line(&format!("impl {name} {{"));
    code.line("/// No flag.");
    code.line(&format!("pub const NONE: {name} = {name}(0);"));
    for (bit, flag) in flags.iter().enumerate() {
        code.docs(&flag.docs);
        code.line(&format!("pub const {}: {name} = {name}(1 << {bit});", screaming(&flag.name)));
    }
    let all: u64 = if flags.len() == 64 { u64::MAX } else { (1 << flags.len()) - 1 };
    code.line("/// Every flag.");
    code.line(&format!("pub const ALL: {name} = {name}({all:#x});"));
    code.lines(&format!(
        "/// The bits.
         pub const fn bits(self) -> {repr} {{
         self.0
         }}
         /// The flags with these bits; `None` if there are others.
         pub const fn from_bits(bits: {repr}) -> ::core::option::Option<{name}> {{
         if bits & !Self::ALL.0 == 0 {{ Some({name}(bits)) }} else {{ None }}
         }}
         /// Whether every flag of `other` is set.
         pub const fn contains(self, other: {name}) -> bool {{
         self.0 & other.0 == other.0
         }}
         /// The flags of both.
         pub const fn union(self, other: {name}) -> {name} {{
         {name}(self.0 | other.0)
         }}
         }}
         impl ::core::ops::BitOr for {name} {{
         type Output = {name};
         fn bitor(self, other: {name}) -> {name} {{
         self.union(other)
         }}
         }}
         impl ::core::convert::From<{name}> for {repr} {{
         fn from(flags: {name}) -> {repr} {{
         flags.0
         }}
         }}
         impl ::core::convert::TryFrom<{repr}> for {name} {{
         type Error = &'static str;
         fn try_from(bits: {repr}) -> ::core::result::Result<{name}, &'static str> {{
         {name}::from_bits(bits).ok_or(\"unknown flags\")
         }}
         }}"
    ));
}
