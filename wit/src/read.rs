//! Reads a WIT file into the [`model`](crate::model), and says of everything that the rules do
//! not allow where it stands and what to do instead. All mistakes of a file are told at once.

use crate::model::{Body, Count, File, Function, Interface, Member, Mode, Parameter, Type, TypeDefinition, Value};
use std::collections::BTreeMap;
use std::fmt;
use wit_parser::{FunctionKind, Handle, Resolve, Span, TypeDefKind, TypeId, TypeOwner};

/// What is wrong, and where.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Mistake {
    /// `file:line:column`, or a rendered excerpt of the file in the message itself.
    pub place: String,
    /// What is wrong and what to do.
    pub message: String,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.place.is_empty() { f.write_str(&self.message) } else { write!(f, "{}: {}", self.place, self.message) }
    }
}

impl std::error::Error for Mistake {}

/// Kinds of kernel objects: name in WIT and in Rust.
const KINDS: [(&str, &str); 11] = [
    ("process", "Process"),
    ("thread", "Thread"),
    ("endpoint", "Endpoint"),
    ("notification", "Notification"),
    ("region", "Region"),
    ("image", "Image"),
    ("interrupt", "Interrupt"),
    ("device", "Device"),
    ("quota", "Quota"),
    ("log", "Log"),
    ("any", "Any"),
];
/// Types that every generated module has, and functions that every client has.
const TAKEN_TYPES: [&str; 3] = ["client", "server", "serve"];
const TAKEN_FUNCTIONS: [&str; 4] = ["new", "over", "within", "connection"];
/// Functions of an interface: what its number leaves room for.
const MOST_FUNCTIONS: usize = 256;
/// Parameters of a function: what serde encodes as one tuple.
const MOST_PARAMETERS: usize = 16;
const MOST_FLAGS: usize = 64;
/// Numbers below are the kernel's.
const FIRST_NUMBER: u32 = 0x1000;

/// Reads the file `name`.wit; `path` is what mistakes call it.
pub fn read(name: &str, path: &str, text: &str) -> Result<File, Vec<Mistake>> {
    let mut resolve = Resolve::default();
    let package = match resolve.push_source(path, text) {
        Ok(package) => package,
        Err(error) => {
            return Err(vec![Mistake { place: String::new(), message: resolve.render_error(&error) }]);
        }
    };
    let mut reader = Reader { resolve: &resolve, path, mistakes: Vec::new(), errors: Vec::new() };
    let file = reader.file(name, package);
    if reader.mistakes.is_empty() { Ok(file) } else { Err(reader.mistakes) }
}

struct Reader<'a> {
    resolve: &'a Resolve,
    path: &'a str,
    mistakes: Vec<Mistake>,
    /// Types that a function has as its error.
    errors: Vec<TypeId>,
}

/// A doc comment, split.
struct Docs {
    text: String,
    /// Annotations and their arguments.
    annotations: BTreeMap<String, String>,
}

impl Docs {
    fn has(&self, annotation: &str) -> bool {
        self.annotations.contains_key(annotation)
    }
}

impl Reader<'_> {
    fn mistake(&mut self, span: Span, message: impl Into<String>) {
        let place = if span.is_known() { self.resolve.render_location(span) } else { self.path.to_string() };
        self.mistakes.push(Mistake { place, message: message.into() });
    }

    fn file(&mut self, name: &str, package: wit_parser::PackageId) -> File {
        let resolve = self.resolve;
        let package = &resolve.packages[package];
        if package.name.namespace != "orbital" || package.name.name != name {
            self.mistakes.push(Mistake {
                place: self.path.to_string(),
                message: format!("the package is `{}`, must be `orbital:{name}` as the file is named", package.name),
            });
        }
        for (world, id) in &package.worlds {
            self.mistake(
                resolve.worlds[*id].span,
                format!("world `{world}`: worlds are not allowed; write interfaces"),
            );
        }
        let mut interfaces = Vec::new();
        for id in package.interfaces.values() {
            // Errors are needed before the types of whichever interface defines them.
            for function in resolve.interfaces[*id].functions.values() {
                self.note_error(function);
            }
        }
        for id in package.interfaces.values() {
            interfaces.push(self.interface(name, &resolve.interfaces[*id]));
        }
        File { name: name.to_string(), interfaces }
    }

    fn note_error(&mut self, function: &wit_parser::Function) {
        if let Some(wit_parser::Type::Id(id)) = function.result
            && let TypeDefKind::Result(result) = &self.resolve.types[id].kind
            && let Some(wit_parser::Type::Id(error)) = result.err
        {
            self.errors.push(self.definition(error));
        }
    }

    /// The type that a name stands for, in the end.
    fn definition(&self, mut id: TypeId) -> TypeId {
        while let TypeDefKind::Type(wit_parser::Type::Id(next)) = self.resolve.types[id].kind {
            id = next;
        }
        id
    }

    fn interface(&mut self, file: &str, interface: &wit_parser::Interface) -> Interface {
        let name = interface.name.clone().unwrap_or_default();
        let docs = self.docs(&interface.docs, interface.span, &["number", "service"]);
        let number = self.number(&name, &docs, interface);
        let mut types = Vec::new();
        for (type_name, id) in &interface.types {
            if TAKEN_TYPES.contains(&type_name.as_str()) {
                self.mistake(
                    self.resolve.types[*id].span,
                    format!("type `{type_name}`: the generated code has a type of this name; take another"),
                );
            }
            types.extend(self.type_definition(type_name, *id));
        }
        if interface.functions.len() > MOST_FUNCTIONS {
            self.mistake(
                interface.span,
                format!("interface `{name}` has more than {MOST_FUNCTIONS} functions; begin another"),
            );
        }
        let events = name.ends_with("-events");
        let functions = interface.functions.values().map(|function| self.function(function, events)).collect();
        let service = docs.annotations.get("service").cloned().unwrap_or_else(|| file.to_string());
        Interface { name, docs: docs.text, number, service, types, functions }
    }

    fn number(&mut self, name: &str, docs: &Docs, interface: &wit_parser::Interface) -> Option<u32> {
        let Some(text) = docs.annotations.get("number") else {
            if !interface.functions.is_empty() {
                self.mistake(
                    interface.span,
                    format!("interface `{name}` has functions but no number; write `/// @number 0xNN00` above it"),
                );
            }
            return None;
        };
        let number = text.strip_prefix("0x").and_then(|digits| u32::from_str_radix(digits, 16).ok());
        match number {
            Some(number) if number >= FIRST_NUMBER && number % MOST_FUNCTIONS as u32 == 0 => Some(number),
            _ => {
                self.mistake(
                    interface.span,
                    format!(
                        "interface `{name}`: `@number {text}` is not a multiple of 0x100 from {FIRST_NUMBER:#x} on"
                    ),
                );
                None
            }
        }
    }

    /// Splits a doc comment; `allowed` are the annotations that mean something there.
    fn docs(&mut self, docs: &wit_parser::Docs, span: Span, allowed: &[&str]) -> Docs {
        let mut text = Vec::new();
        let mut annotations = BTreeMap::new();
        for line in docs.contents.as_deref().unwrap_or_default().lines() {
            let line = line.trim();
            let Some(annotation) = line.strip_prefix('@') else {
                text.push(line);
                continue;
            };
            let (name, argument) = annotation.split_once(' ').unwrap_or((annotation, ""));
            if allowed.contains(&name) {
                annotations.insert(name.to_string(), argument.trim().to_string());
            } else if allowed.is_empty() {
                self.mistake(span, format!("`@{name}` means nothing here"));
            } else {
                self.mistake(span, format!("`@{name}` means nothing here; what does is `@{}`", allowed.join("`, `@")));
            }
        }
        Docs { text: text.join("\n").trim().to_string(), annotations }
    }

    fn type_definition(&mut self, name: &str, id: TypeId) -> Option<TypeDefinition> {
        let resolve = self.resolve;
        let definition = &resolve.types[id];
        let span = definition.span;
        let allowed: &[&str] = match definition.kind {
            TypeDefKind::Resource => &["kind"],
            TypeDefKind::Record(_) | TypeDefKind::Variant(_) => &["secret"],
            _ => &[],
        };
        let docs = self.docs(&definition.docs, span, allowed);
        let body = match &definition.kind {
            TypeDefKind::Resource => {
                self.kind(id);
                return None;
            }
            TypeDefKind::Type(wit_parser::Type::Id(target)) if self.is_elsewhere(definition.owner, *target) => {
                let target = &resolve.types[*target];
                if matches!(target.kind, TypeDefKind::Resource) {
                    return None;
                }
                let TypeOwner::Interface(owner) = target.owner else { return None };
                Body::Used {
                    interface: resolve.interfaces[owner].name.clone().unwrap_or_default(),
                    name: target.name.clone().unwrap_or_default(),
                }
            }
            TypeDefKind::Type(wit_parser::Type::Id(target))
                if matches!(resolve.types[self.definition(*target)].kind, TypeDefKind::Resource) =>
            {
                return None;
            }
            TypeDefKind::Type(type_) => Body::Alias(self.data(type_, span)),
            TypeDefKind::Record(record) => Body::Record(
                record
                    .fields
                    .iter()
                    .map(|field| self.member(&field.name, &field.docs, field.span, Some(&field.ty), &["secret"]))
                    .collect(),
            ),
            TypeDefKind::Variant(variant) => Body::Variant(
                variant
                    .cases
                    .iter()
                    .map(|case| self.member(&case.name, &case.docs, case.span, case.ty.as_ref(), &["secret"]))
                    .collect(),
            ),
            TypeDefKind::Enum(cases) => Body::Enum(
                cases.cases.iter().map(|case| self.member(&case.name, &case.docs, case.span, None, &[])).collect(),
            ),
            TypeDefKind::Flags(flags) => {
                if flags.flags.len() > MOST_FLAGS {
                    self.mistake(span, format!("flags `{name}` has more than {MOST_FLAGS} flags"));
                }
                Body::Flags(
                    flags.flags.iter().map(|flag| self.member(&flag.name, &flag.docs, flag.span, None, &[])).collect(),
                )
            }
            _ => Body::Alias(self.unnamed(id, span)),
        };
        let is_error = self.errors.contains(&id);
        Some(TypeDefinition {
            name: name.to_string(),
            docs: docs.text.clone(),
            secret: docs.has("secret"),
            is_error,
            body,
        })
    }

    fn is_elsewhere(&self, owner: TypeOwner, target: TypeId) -> bool {
        let target = &self.resolve.types[target];
        target.name.is_some() && target.owner != owner
    }

    fn member(
        &mut self,
        name: &str,
        docs: &wit_parser::Docs,
        span: Span,
        type_: Option<&wit_parser::Type>,
        allowed: &[&str],
    ) -> Member {
        let docs = self.docs(docs, span, allowed);
        let type_ = type_.map(|type_| self.data(type_, span));
        Member { name: name.to_string(), secret: docs.has("secret"), docs: docs.text, type_ }
    }

    /// The Rust name of the kind of object that a resource stands for.
    fn kind(&mut self, resource: TypeId) -> &'static str {
        let id = self.definition(resource);
        let definition = &self.resolve.types[id];
        let span = definition.span;
        let name = definition.name.clone().unwrap_or_default();
        let annotation = definition.docs.contents.as_deref().unwrap_or_default().lines();
        let annotation = annotation.filter_map(|line| line.trim().strip_prefix("@kind ")).next();
        let wanted = annotation.map(str::trim).unwrap_or(&name);
        match KINDS.iter().find(|(kind, _)| *kind == wanted) {
            Some((_, rust)) => rust,
            None => {
                let kinds: Vec<&str> = KINDS.iter().map(|(kind, _)| *kind).collect();
                self.mistake(
                    span,
                    format!(
                        "resource `{name}`: `{wanted}` is no kind of kernel object; write `/// @kind endpoint` above it, or another of {}",
                        kinds.join(", ")
                    ),
                );
                "Any"
            }
        }
    }

    fn function(&mut self, function: &wit_parser::Function, events: bool) -> Function {
        let name = function.name.clone();
        let span = function.span;
        let docs = self.docs(&function.docs, span, &["idempotent", "errors"]);
        match function.kind {
            FunctionKind::Freestanding => {}
            FunctionKind::AsyncFreestanding => {
                self.mistake(
                    span,
                    format!(
                        "function `{name}`: `async` is not allowed; every call is answered when the answer is there"
                    ),
                );
            }
            _ => self.mistake(
                span,
                format!("function `{name}`: resources have no methods; write a function that takes the capability"),
            ),
        }
        if TAKEN_FUNCTIONS.contains(&name.as_str()) {
            self.mistake(span, format!("function `{name}`: every client has a function of this name; take another"));
        }
        if function.params.len() > MOST_PARAMETERS {
            self.mistake(span, format!("function `{name}` has more than {MOST_PARAMETERS} parameters; pass a record"));
        }
        let methods = !matches!(function.kind, FunctionKind::Freestanding | FunctionKind::AsyncFreestanding);
        let mut parameters = Vec::new();
        for parameter in function.params.iter().filter(|_| !methods) {
            parameters
                .push(Parameter { name: parameter.name.clone(), value: self.value(&parameter.ty, parameter.span) });
        }
        let mut answer = Vec::new();
        let (mut answer_is_tuple, mut error) = (false, None);
        if let Some(result) = function.result.as_ref().filter(|_| !methods) {
            if events {
                self.mistake(
                    span,
                    format!("function `{name}`: functions of an `-events` interface are one-way and have no result"),
                );
            }
            (answer, answer_is_tuple, error) = self.answer(&name, result, span);
        }
        let errors = self.errors_of(function, docs.annotations.get("errors"), span);
        let function = Function {
            name,
            docs: docs.text.clone(),
            idempotent: docs.has("idempotent"),
            parameters,
            answer,
            answer_is_tuple,
            error,
            errors,
        };
        if function.idempotent && events {
            self.mistake(span, format!("function `{}`: an event is never repeated; drop `@idempotent`", function.name));
        }
        if function.idempotent && function.takes_capabilities() {
            self.mistake(
                span,
                format!(
                    "function `{}`: what takes capabilities cannot be called again; drop `@idempotent`",
                    function.name
                ),
            );
        }
        function
    }

    /// The cases of its error that a function answers: those that `@errors` names, or all.
    fn errors_of(&mut self, function: &wit_parser::Function, named: Option<&String>, span: Span) -> Vec<String> {
        let cases: Vec<String> = match function.result {
            Some(wit_parser::Type::Id(id)) => match &self.resolve.types[id].kind {
                TypeDefKind::Result(wit_parser::Result_ { err: Some(wit_parser::Type::Id(error)), .. }) => {
                    match &self.resolve.types[self.definition(*error)].kind {
                        TypeDefKind::Variant(variant) => variant.cases.iter().map(|case| case.name.clone()).collect(),
                        TypeDefKind::Enum(cases) => cases.cases.iter().map(|case| case.name.clone()).collect(),
                        _ => Vec::new(),
                    }
                }
                _ => Vec::new(),
            },
            _ => Vec::new(),
        };
        let Some(named) = named else { return cases };
        let named = named.split(',').map(str::trim).filter(|case| !case.is_empty());
        let named: Vec<String> = named.map(str::to_string).collect();
        for case in named.iter().filter(|case| !cases.contains(case)) {
            let message =
                format!("function `{}`: `@errors` names `{case}`, which is no case of its error", function.name);
            self.mistake(span, message);
        }
        named
    }

    fn answer(&mut self, name: &str, result: &wit_parser::Type, span: Span) -> (Vec<Value>, bool, Option<Type>) {
        let resolve = self.resolve;
        let mut ok = Some(*result);
        let mut error = None;
        if let wit_parser::Type::Id(id) = result
            && let TypeDefKind::Result(result) = &resolve.types[*id].kind
        {
            ok = result.ok;
            match &result.err {
                Some(type_) => error = Some(self.data(type_, span)),
                None => self.mistake(
                    span,
                    format!("function `{name}`: a result needs an error that says why; write `result<..., error>`"),
                ),
            }
        }
        let Some(ok) = ok else { return (Vec::new(), false, error) };
        if let wit_parser::Type::Id(id) = ok
            && let TypeDefKind::Tuple(tuple) = &resolve.types[id].kind
            && resolve.types[id].name.is_none()
        {
            return (tuple.types.iter().map(|type_| self.value(type_, span)).collect(), true, error);
        }
        (vec![self.value(&ok, span)], false, error)
    }

    /// A parameter or a result: where capabilities may be.
    fn value(&mut self, type_: &wit_parser::Type, span: Span) -> Value {
        let (inner, count) = match type_ {
            wit_parser::Type::Id(id) => match &self.resolve.types[*id].kind {
                TypeDefKind::Option(inner) => (*inner, Count::Option),
                TypeDefKind::List(inner) => (*inner, Count::List),
                _ => (*type_, Count::One),
            },
            _ => (*type_, Count::One),
        };
        if let wit_parser::Type::Id(id) = inner
            && let TypeDefKind::Handle(handle) = self.resolve.types[self.definition(id)].kind
        {
            let (resource, mode) = match handle {
                Handle::Own(resource) => (resource, Mode::Move),
                Handle::Borrow(resource) => (resource, Mode::Derive),
            };
            return Value::Capability { kind: self.kind(resource), mode, count };
        }
        Value::Data(self.data(type_, span))
    }

    /// A type of data: no capabilities anywhere in it.
    fn data(&mut self, type_: &wit_parser::Type, span: Span) -> Type {
        let resolve = self.resolve;
        match type_ {
            wit_parser::Type::Bool => Type::Bool,
            wit_parser::Type::U8 => Type::U8,
            wit_parser::Type::U16 => Type::U16,
            wit_parser::Type::U32 => Type::U32,
            wit_parser::Type::U64 => Type::U64,
            wit_parser::Type::S8 => Type::S8,
            wit_parser::Type::S16 => Type::S16,
            wit_parser::Type::S32 => Type::S32,
            wit_parser::Type::S64 => Type::S64,
            wit_parser::Type::Char => Type::Char,
            wit_parser::Type::String => Type::String,
            wit_parser::Type::F32 | wit_parser::Type::F64 => {
                self.refuse(span, "floats", "use an integer with its unit in the doc comment")
            }
            wit_parser::Type::ErrorContext => self.refuse(span, "error-context", "use a variant with your own cases"),
            wit_parser::Type::Id(id) => match &resolve.types[*id].name {
                Some(_)
                    if matches!(
                        resolve.types[self.definition(*id)].kind,
                        TypeDefKind::Handle(_) | TypeDefKind::Resource
                    ) =>
                {
                    self.capability_inside(span)
                }
                Some(name) => Type::Named { name: name.clone(), copy: self.is_copy(&wit_parser::Type::Id(*id)) },
                None => self.unnamed(*id, span),
            },
        }
    }

    /// A type of data that is written out where it is used, or what a name stands for.
    fn unnamed(&mut self, id: TypeId, span: Span) -> Type {
        match &self.resolve.types[id].kind {
            TypeDefKind::Handle(_) | TypeDefKind::Resource => self.capability_inside(span),
            TypeDefKind::Future(_) => self.refuse(span, "future", "answer when the value is there"),
            TypeDefKind::Stream(_) => self.refuse(span, "stream", "send chunks, or events to an endpoint"),
            TypeDefKind::Map(..) => self.refuse(span, "map", "use a list of tuples"),
            TypeDefKind::FixedLengthList(..) => self.refuse(span, "a list of fixed length", "use a tuple or a list"),
            TypeDefKind::Unknown => self.refuse(span, "a type of another package", "define it in this file"),
            TypeDefKind::List(wit_parser::Type::U8) => Type::Bytes,
            TypeDefKind::List(inner) => Type::List(Box::new(self.data(inner, span))),
            TypeDefKind::Option(inner) => Type::Option(Box::new(self.data(inner, span))),
            TypeDefKind::Tuple(tuple) => Type::Tuple(tuple.types.iter().map(|type_| self.data(type_, span)).collect()),
            TypeDefKind::Result(result) => {
                let mut side =
                    |type_: &Option<wit_parser::Type>| type_.as_ref().map(|type_| Box::new(self.data(type_, span)));
                Type::Result(side(&result.ok), side(&result.err))
            }
            TypeDefKind::Type(inner) => self.data(inner, span),
            TypeDefKind::Record(_) | TypeDefKind::Variant(_) | TypeDefKind::Enum(_) | TypeDefKind::Flags(_) => {
                self.refuse(span, "a type without a name", "give it one")
            }
        }
    }

    fn capability_inside(&mut self, span: Span) -> Type {
        self.refuse(
            span,
            "a capability inside other data",
            "pass it as a parameter or result of its own, as `option` or `list` of it, or in a result tuple",
        )
    }

    fn is_copy(&self, type_: &wit_parser::Type) -> bool {
        match type_ {
            wit_parser::Type::Id(id) => match &self.resolve.types[self.definition(*id)].kind {
                TypeDefKind::Enum(_) | TypeDefKind::Flags(_) => true,
                TypeDefKind::Type(inner) => self.is_copy(inner),
                _ => false,
            },
            wit_parser::Type::String | wit_parser::Type::ErrorContext => false,
            _ => true,
        }
    }

    fn refuse(&mut self, span: Span, what: &str, instead: &str) -> Type {
        self.mistake(span, format!("not allowed: {what}; {instead}"));
        Type::Bool
    }
}
