//! An interface file as the generator sees it: only what the rules allow can be said here.

/// `wit/<name>.wit`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct File {
    /// Package and file name.
    pub name: String,
    /// In the order of the file.
    pub interfaces: Vec<Interface>,
}

/// One interface.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Interface {
    /// As in WIT.
    pub name: String,
    /// Without annotations.
    pub docs: String,
    /// `None` of one that has types alone.
    pub number: Option<u32>,
    /// Under which name its clients find the service.
    pub service: String,
    /// In the order of the file.
    pub types: Vec<TypeDefinition>,
    /// Positions are numbers.
    pub functions: Vec<Function>,
}

impl Interface {
    /// Whether its functions are one-way messages.
    pub fn is_events(&self) -> bool {
        self.name.ends_with("-events")
    }
}

/// A named type.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TypeDefinition {
    /// As in WIT.
    pub name: String,
    /// Without annotations.
    pub docs: String,
    /// Its Debug output says nothing.
    pub secret: bool,
    /// Whether a function has it as its error: then it has a Display.
    pub is_error: bool,
    /// What it is.
    pub body: Body,
}

/// What a named type is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Body {
    /// Fields, all with a type.
    Record(Vec<Member>),
    /// Cases, some with a type.
    Variant(Vec<Member>),
    /// Cases, none with a type.
    Enum(Vec<Member>),
    /// Flags, none with a type; at most 64.
    Flags(Vec<Member>),
    /// Another name.
    Alias(Type),
    /// The type of that name in another interface of the file.
    Used {
        /// As in WIT.
        interface: String,
        /// As in WIT.
        name: String,
    },
}

/// A field, case or flag.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Member {
    /// As in WIT.
    pub name: String,
    /// Without annotations.
    pub docs: String,
    /// Debug output does not show it.
    pub secret: bool,
    /// Of a field, or a case with a payload.
    pub type_: Option<Type>,
}

/// A type of data.
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub enum Type {
    Bool,
    U8,
    U16,
    U32,
    U64,
    S8,
    S16,
    S32,
    S64,
    Char,
    String,
    /// `list<u8>`.
    Bytes,
    List(Box<Type>),
    Option(Box<Type>),
    Result(Option<Box<Type>>, Option<Box<Type>>),
    Tuple(Vec<Type>),
    /// A type of this interface.
    Named {
        name: String,
        /// Whether it is a number, an enum or flags: passed by value.
        copy: bool,
    },
}

/// A function.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Function {
    /// As in WIT.
    pub name: String,
    /// Without annotations.
    pub docs: String,
    /// May be called again.
    pub idempotent: bool,
    /// At most 16.
    pub parameters: Vec<Parameter>,
    /// What it returns when all is well.
    pub answer: Vec<Value>,
    /// Whether the answer is a tuple, even if of one.
    pub answer_is_tuple: bool,
    /// The error of its `result`.
    pub error: Option<Type>,
    /// The cases of that error which it answers.
    pub errors: Vec<String>,
}

impl Function {
    /// Whether capabilities ride on its request.
    pub fn takes_capabilities(&self) -> bool {
        self.parameters.iter().any(|parameter| matches!(parameter.value, Value::Capability { .. }))
    }

    /// Whether capabilities ride on its answer.
    pub fn returns_capabilities(&self) -> bool {
        self.answer.iter().any(|value| matches!(value, Value::Capability { .. }))
    }
}

/// A parameter.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Parameter {
    /// As in WIT.
    pub name: String,
    /// Its type.
    pub value: Value,
}

/// What goes as a parameter or comes as a result.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Value {
    /// Data.
    Data(Type),
    /// A capability, which travels beside the data.
    Capability {
        /// Rust name of the kind of object.
        kind: &'static str,
        /// Moves or derives.
        mode: Mode,
        /// How many.
        count: Count,
    },
}

/// What the receiver gets of a capability.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mode {
    /// The capability itself.
    Move,
    /// One derived from it.
    Derive,
}

/// How many capabilities.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Count {
    /// One.
    One,
    /// One or none.
    Option,
    /// Any number that a message takes.
    List,
}
