//! Numbers, client, server trait and dispatcher of an interface.

use super::{Code, camel, owned, screaming, snake, tuple};
use crate::model::{Count, Function, Interface, Mode, Parameter, Type, Value};

/// The interface's number and those of its functions.
pub(super) fn numbers(code: &mut Code, interface: &Interface, number: u32) {
    code.line("/// Number of the interface.");
    code.line(&format!("pub const NUMBER: u32 = {number:#06x};"));
    code.line("/// Numbers of its functions: what a message's tag says in its low 32 bits.");
    code.line("pub mod tags {");
    for (position, function) in interface.functions.iter().enumerate() {
        code.docs(&format!("`{}`.", function.name));
        code.line(&format!("pub const {}: u32 = {:#06x};", screaming(&function.name), number + position as u32));
    }
    code.line("}");
    if !interface.is_events() {
        code.line("/// The errors that each function answers, as in the file: a test provokes each.");
        code.line("pub const ERRORS: &[(&str, &[&str])] = &[");
        for function in &interface.functions {
            let errors: Vec<String> = function.errors.iter().map(|error| format!("{:?}", camel(error))).collect();
            code.line(&format!("({:?}, &[{}]),", function.name, errors.join(", ")));
        }
        code.line("];");
    }
}

/// The client.
pub(super) fn client(code: &mut Code, interface: &Interface) {
    code.lines(&format!(
        "/// Calls the interface. Clones are the same connection.
         #[derive(Clone, Debug)]
         pub struct Client {{
         connection: $::client::Connection,
         }}
         impl $::client::Client for Client {{
         const SERVICE: &'static str = {service:?};
         fn over(connection: &$::client::Connection) -> Client {{
         Client {{ connection: connection.clone() }}
         }}
         }}
         impl Client {{
         /// A client over an endpoint that the service receives from.
         pub fn new(endpoint: $::Cap<$::Endpoint>) -> Client {{
         Client {{ connection: $::client::Connection::new(endpoint) }}
         }}
         /// The same, with calls that wait so long at most.
         pub fn within(&self, timeout: ::core::time::Duration) -> Client {{
         Client {{ connection: self.connection.within(timeout) }}
         }}
         /// A client that calls through what another client of the same endpoint does.
         pub fn over(connection: &$::client::Connection) -> Client {{
         Client {{ connection: connection.clone() }}
         }}
         /// What it calls through.
         pub fn connection(&self) -> &$::client::Connection {{
         &self.connection
         }}",
        service = interface.service,
    ));
    for function in &interface.functions {
        if interface.is_events() { event(code, function) } else { call(code, function) }
    }
    code.line("}");
}

fn event(code: &mut Code, function: &Function) {
    code.docs(&function.docs);
    code.line(&format!(
        "pub async fn {}(&self{}) -> ::core::result::Result<(), $::ClientError> {{",
        snake(&function.name),
        borrowed_parameters(function)
    ));
    let passing = begin_passing(code, function);
    code.line(&format!(
        "self.connection.event(tags::{}, &{}, {passing}).await",
        screaming(&function.name),
        arguments(function)
    ));
    code.line("}");
}

fn call(code: &mut Code, function: &Function) {
    code.docs(&function.docs);
    errors(code, function);
    let ok = answer_type(function, owned_value);
    let error = function.error.as_ref().map(owned);
    let client_error = match &error {
        Some(error) => format!("$::ClientError<{error}>"),
        None => "$::ClientError".to_string(),
    };
    code.line(&format!(
        "pub async fn {}(&self{}) -> ::core::result::Result<{ok}, {client_error}> {{",
        snake(&function.name),
        borrowed_parameters(function)
    ));
    let passing = begin_passing(code, function);
    let wire = answer_type(function, wire_value);
    let wire = match &error {
        Some(error) => format!("::core::result::Result<{wire}, {error}>"),
        None => wire,
    };
    let tag = format!("tags::{}", screaming(&function.name));
    let arguments = arguments(function);
    let made = if function.idempotent {
        format!("call_idempotent({tag}, &{arguments})")
    } else {
        format!("call({tag}, &{arguments}, {passing})")
    };
    let passed = if function.returns_capabilities() { "mut passed" } else { "_" };
    code.line(&format!("let (answer, {passed}): ({wire}, _) = self.connection.{made}.await?;"));
    if error.is_some() {
        code.line("let answer = answer.map_err($::ClientError::Service)?;");
    }
    let names: Vec<String> = (0..function.answer.len()).map(|index| format!("v{index}")).collect();
    let pattern = pattern(function, &names);
    let values = function.answer.iter().zip(&names).map(|(value, name)| from_wire(value, name, "?"));
    if function.answer.is_empty() {
        code.line("Ok(answer)");
    } else {
        code.line(&format!("let {pattern} = answer;"));
        let built = build(function, values.collect());
        code.line(&format!("Ok({built})"));
    }
    code.line("}");
}

/// Which cases of the error it answers, for people.
fn errors(code: &mut Code, function: &Function) {
    if let (Some(Type::Named { name, .. }), false) = (&function.error, function.errors.is_empty()) {
        let cases: Vec<String> =
            function.errors.iter().map(|case| format!("[`{0}`]({1}::{0})", camel(case), camel(name))).collect();
        code.docs(&format!("\n# Errors\n{}.", cases.join(", ")));
    }
}

/// The server's trait.
pub(super) fn server(code: &mut Code, interface: &Interface) {
    code.line("/// Answers the interface. One thread: `&self` and cells are enough.");
    code.line("#[allow(async_fn_in_trait)]");
    code.line("pub trait Server {");
    for function in &interface.functions {
        code.docs(&function.docs);
        errors(code, function);
        let mut parameters = String::new();
        for parameter in &function.parameters {
            parameters += &format!(", {}: {}", snake(&parameter.name), owned_value(&parameter.value));
        }
        let answer = answer_type(function, owned_value);
        let result = match &function.error {
            Some(error) => format!(" -> ::core::result::Result<{answer}, {}>", owned(error)),
            None if function.answer.is_empty() => String::new(),
            None => format!(" -> {answer}"),
        };
        code.line(&format!("async fn {}(&self, caller: $::Caller{parameters}){result};", snake(&function.name)));
    }
    code.line("}");
}

/// What decodes requests, calls the server and encodes its answers.
pub(super) fn dispatcher(code: &mut Code, interface: &Interface) {
    code.lines(
        "/// Serves the interface by a server.
         #[derive(Debug)]
         pub struct Serve<'a, S: ?Sized>(pub &'a S);
         impl<S: ?Sized> Clone for Serve<'_, S> {
         fn clone(&self) -> Self {
         *self
         }
         }
         impl<S: ?Sized> Copy for Serve<'_, S> {}
         impl<S: Server + ?Sized> $::Dispatch for Serve<'_, S> {
         fn accepts(&self, number: u32) -> bool {
         number & !0xff == NUMBER
         }
         #[allow(unused_mut, unused_variables)]
         async fn dispatch(&self, mut request: $::service::Request) {
         let caller = request.caller();
         match request.number() {",
    );
    for function in &interface.functions {
        arm(code, function);
    }
    code.line("_ => request.refuse($::client::Refusal::Unknown),");
    code.lines("}\n}\n}");
}

fn arm(code: &mut Code, function: &Function) {
    const MALFORMED: &str = "else { return request.refuse($::client::Refusal::Malformed) };";
    code.line(&format!("tags::{} => {{", screaming(&function.name)));
    let names: Vec<String> = function.parameters.iter().map(argument_name).collect();
    let types = tuple(function.parameters.iter().map(|parameter| wire_value(&parameter.value)));
    if names.is_empty() {
        code.line(&format!("let Ok(()) = request.decode::<()>() {MALFORMED}"));
    } else {
        let pattern = tuple(names.iter().cloned());
        code.line(&format!("let Ok({pattern}) = request.decode::<{types}>() {MALFORMED}"));
    }
    if function.takes_capabilities() {
        code.line("let mut passed = request.passed();");
        for (parameter, name) in function.parameters.iter().zip(&names) {
            if matches!(parameter.value, Value::Capability { .. }) {
                code.line(&format!("let Ok({name}) = {} {MALFORMED}", from_wire(&parameter.value, name, "")));
            }
        }
    }
    let mut arguments = String::new();
    for (parameter, name) in function.parameters.iter().zip(&names) {
        arguments += ", ";
        arguments += &match &parameter.value {
            Value::Data(_) => from_wire(&parameter.value, name, ""),
            Value::Capability { .. } => name.clone(),
        };
    }
    code.line(&format!("let answer = self.0.{}(caller{arguments}).await;", snake(&function.name)));
    answer(code, function);
    code.line("}");
}

fn answer(code: &mut Code, function: &Function) {
    let mapped = function.answer.iter().any(|value| to_wire(value, "v") != "v");
    if !mapped {
        code.line("request.answer(&answer, $::wire::Passing::new());");
        return;
    }
    let moves = function.returns_capabilities();
    if moves {
        code.line("let mut passing = $::wire::Passing::new();");
    }
    let names: Vec<String> = (0..function.answer.len()).map(|index| format!("v{index}")).collect();
    let pattern = pattern(function, &names);
    let values = function.answer.iter().zip(&names).map(|(value, name)| to_wire(value, name)).collect();
    let built = build(function, values);
    if function.error.is_some() {
        let borrow = if moves { "" } else { "&" };
        code.line(&format!("let answer = match {borrow}answer {{"));
        code.line(&format!("Ok({pattern}) => Ok({built}),"));
        code.line("Err(error) => Err(error),");
        code.line("};");
    } else {
        let borrow = if moves { "" } else { "&" };
        code.line(&format!("let {pattern} = {borrow}answer;"));
        code.line(&format!("let answer = {built};"));
    }
    let passing = if moves { "passing" } else { "$::wire::Passing::new()" };
    code.line(&format!("request.answer(&answer, {passing});"));
}

/// The answer of a function, its values written by `write`.
fn answer_type(function: &Function, write: impl Fn(&Value) -> String) -> String {
    if function.answer_is_tuple {
        return tuple(function.answer.iter().map(write));
    }
    function.answer.first().map_or("()".to_string(), write)
}

fn pattern(function: &Function, names: &[String]) -> String {
    build(function, names.to_vec())
}

fn build(function: &Function, values: Vec<String>) -> String {
    if function.answer_is_tuple { tuple(values.into_iter()) } else { values.concat() }
}

/// How the server and a client's caller see it.
fn owned_value(value: &Value) -> String {
    match value {
        Value::Data(type_) => owned(type_),
        Value::Capability { kind, count, .. } => {
            let one = format!("$::Cap<$::capability::{kind}>");
            match count {
                Count::One => one,
                Count::Option => format!("::core::option::Option<{one}>"),
                Count::List => format!("$::generated::Vec<{one}>"),
            }
        }
    }
}

/// How it is encoded and decoded.
fn wire_value(value: &Value) -> String {
    match value {
        Value::Data(Type::Bytes) => "$::generated::serde_bytes::ByteBuf".to_string(),
        Value::Data(type_) => owned(type_),
        Value::Capability { count: Count::One, .. } => "u8".to_string(),
        Value::Capability { count: Count::Option, .. } => "::core::option::Option<u8>".to_string(),
        Value::Capability { count: Count::List, .. } => "$::generated::Vec<u8>".to_string(),
    }
}

/// From what was decoded; `end` follows what can fail.
fn from_wire(value: &Value, name: &str, end: &str) -> String {
    match value {
        Value::Data(Type::Bytes) => format!("{name}.into_vec()"),
        Value::Data(_) => name.to_string(),
        Value::Capability { count, .. } => {
            let take = match count {
                Count::One => "take",
                Count::Option => "take_option",
                Count::List => "take_list",
            };
            format!("passed.{take}({name}){end}")
        }
    }
}

/// To what is encoded; data is there by reference or by value, as it comes.
fn to_wire(value: &Value, name: &str) -> String {
    match value {
        Value::Data(Type::Bytes) => format!("$::generated::serde_bytes::Bytes::new(&{name}[..])"),
        Value::Data(_) => name.to_string(),
        Value::Capability { count, .. } => match count {
            Count::One => format!("passing.moves({name})"),
            Count::Option => format!("{name}.map(|one| passing.moves(one))"),
            Count::List => {
                format!("{name}.into_iter().map(|one| passing.moves(one)).collect::<$::generated::Vec<u8>>()")
            }
        },
    }
}

fn argument_name(parameter: &Parameter) -> String {
    // The generated functions have names of their own.
    let name = snake(&parameter.name);
    match name.as_str() {
        "caller" | "request" | "passed" | "passing" | "answer" => format!("{name}_"),
        _ => name,
    }
}

/// The parameters of a client's function, each after a comma.
fn borrowed_parameters(function: &Function) -> String {
    let mut text = String::new();
    for parameter in &function.parameters {
        let type_ = match &parameter.value {
            Value::Data(type_) => borrowed(type_),
            Value::Capability { kind, mode, count } => {
                let one = match mode {
                    Mode::Move => format!("$::Cap<$::capability::{kind}>"),
                    Mode::Derive => format!("&$::Cap<$::capability::{kind}>"),
                };
                match (count, mode) {
                    (Count::One, _) => one,
                    (Count::Option, _) => format!("::core::option::Option<{one}>"),
                    (Count::List, Mode::Move) => format!("$::generated::Vec<{one}>"),
                    (Count::List, Mode::Derive) => format!("&[{one}]"),
                }
            }
        };
        text += &format!(", {}: {type_}", argument_name(parameter));
    }
    text
}

/// What a caller passes: by value what is small, else by reference.
fn borrowed(type_: &Type) -> String {
    match type_ {
        Type::String => "&str".to_string(),
        Type::Bytes => "&[u8]".to_string(),
        Type::List(inner) => format!("&[{}]", owned(inner)),
        Type::Option(inner) => format!("::core::option::Option<{}>", borrowed(inner)),
        Type::Named { copy: false, name } => format!("&{}", camel(name)),
        Type::Tuple(_) | Type::Result(..) => format!("&{}", owned(type_)),
        _ => owned(type_),
    }
}

/// Takes up the capabilities of a request; the expression that passes them.
fn begin_passing(code: &mut Code, function: &Function) -> &'static str {
    if !function.takes_capabilities() {
        return "$::wire::Passing::new()";
    }
    code.line("let mut passing = $::wire::Passing::new();");
    for parameter in &function.parameters {
        let name = argument_name(parameter);
        if let Value::Capability { mode, count, .. } = &parameter.value {
            let pass = if *mode == Mode::Move { "moves" } else { "derives" };
            let index = match count {
                Count::One => format!("passing.{pass}({name})"),
                Count::Option => format!("{name}.map(|one| passing.{pass}(one))"),
                Count::List if *mode == Mode::Move => {
                    format!("{name}.into_iter().map(|one| passing.{pass}(one)).collect::<$::generated::Vec<u8>>()")
                }
                Count::List => {
                    format!("{name}.iter().map(|one| passing.{pass}(one)).collect::<$::generated::Vec<u8>>()")
                }
            };
            code.line(&format!("let {name} = {index};"));
        }
    }
    "passing"
}

/// The tuple of arguments as it is encoded.
fn arguments(function: &Function) -> String {
    tuple(function.parameters.iter().map(|parameter| {
        let name = argument_name(parameter);
        match &parameter.value {
            Value::Data(Type::Bytes) => format!("$::generated::serde_bytes::Bytes::new({name})"),
            _ => name,
        }
    }))
}
