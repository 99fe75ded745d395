/// From `wit/sample.wit`.
#[allow(dead_code, clippy::all)]
pub mod sample {
    #[doc = " One of everything that can be written."]
    pub mod everything {
        #[doc = " A credential."]
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, ::libprocess::generated::Serialize, ::libprocess::generated::Deserialize)]
        #[serde(crate = "::libprocess::generated::serde")]
        pub struct Token {
            #[serde(with = "::libprocess::generated::serde_bytes")]
            pub value: ::libprocess::generated::Vec<u8>,
        }
        impl ::core::fmt::Debug for Token {
            fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
                f.write_str("<secret>")
            }
        }
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, ::libprocess::generated::Serialize, ::libprocess::generated::Deserialize, Debug, Default)]
        #[serde(crate = "::libprocess::generated::serde", try_from = "u8", into = "u8")]
        pub struct Roles(u8);
        impl Roles {
            /// No flag.
            pub const NONE: Roles = Roles(0);
            #[doc = " May do everything."]
            pub const ADMIN: Roles = Roles(1 << 0);
            pub const GUEST: Roles = Roles(1 << 1);
            /// Every flag.
            pub const ALL: Roles = Roles(0x3);
            /// The bits.
            pub const fn bits(self) -> u8 {
                self.0
            }
            /// The flags with these bits; `None` if there are others.
            pub const fn from_bits(bits: u8) -> ::core::option::Option<Roles> {
                if bits & !Self::ALL.0 == 0 { Some(Roles(bits)) } else { None }
            }
            /// Whether every flag of `other` is set.
            pub const fn contains(self, other: Roles) -> bool {
                self.0 & other.0 == other.0
            }
            /// The flags of both.
            pub const fn union(self, other: Roles) -> Roles {
                Roles(self.0 | other.0)
            }
        }
        impl ::core::ops::BitOr for Roles {
            type Output = Roles;
            fn bitor(self, other: Roles) -> Roles {
                self.union(other)
            }
        }
        impl ::core::convert::From<Roles> for u8 {
            fn from(flags: Roles) -> u8 {
                flags.0
            }
        }
        impl ::core::convert::TryFrom<u8> for Roles {
            type Error = &'static str;
            fn try_from(bits: u8) -> ::core::result::Result<Roles, &'static str> {
                Roles::from_bits(bits).ok_or("unknown flags")
            }
        }
        #[doc = " A login."]
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, ::libprocess::generated::Serialize, ::libprocess::generated::Deserialize)]
        #[serde(crate = "::libprocess::generated::serde")]
        pub struct Login {
            #[doc = " Who."]
            pub user: ::libprocess::generated::String,
            pub password: ::libprocess::generated::String,
            #[doc = " Bytes as they came."]
            #[serde(with = "::libprocess::generated::serde_bytes")]
            pub r#type: ::libprocess::generated::Vec<u8>,
            pub roles: Roles,
        }
        impl ::core::fmt::Debug for Login {
            fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
                f.debug_struct("Login")
                .field("user", &self.user)
                .field("password", &::core::format_args!("<secret>"))
                .field("r#type", &self.r#type)
                .field("roles", &self.roles)
                .finish()
            }
        }
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, ::libprocess::generated::Serialize, ::libprocess::generated::Deserialize, Debug)]
        #[serde(crate = "::libprocess::generated::serde")]
        pub enum Colour {
            Red,
            LightGreen,
        }
        impl Colour {
            /// Every case, in the order of the interface.
            pub const ALL: [Colour; 2] = [Colour::Red, Colour::LightGreen];
            /// Its name as in the interface.
            pub const fn name(self) -> &'static str {
                match self {
                    Colour::Red => "red",
                    Colour::LightGreen => "light-green",
                }
            }
        }
        #[doc = " Either."]
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, ::libprocess::generated::Serialize, ::libprocess::generated::Deserialize)]
        #[serde(crate = "::libprocess::generated::serde")]
        pub enum Choice {
            Nothing,
            Number(i64),
            Word(::libprocess::generated::String),
            Raw(#[serde(with = "::libprocess::generated::serde_bytes")] ::libprocess::generated::Vec<u8>),
        }
        impl ::core::fmt::Debug for Choice {
            fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
                match self {
                    Self::Nothing => f.write_str("Nothing"),
                    Self::Number(value) => f.debug_tuple("Number").field(value).finish(),
                    Self::Word(_) => f.write_str("Word(<secret>)"),
                    Self::Raw(value) => f.debug_tuple("Raw").field(value).finish(),
                }
            }
        }
        #[doc = " Why not."]
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, ::libprocess::generated::Serialize, ::libprocess::generated::Deserialize, Debug)]
        #[serde(crate = "::libprocess::generated::serde")]
        pub enum Error {
            #[doc = " There is nothing. Ask for something else."]
            NotFound,
            #[doc = " TLS failed, and how"]
            Failed(::libprocess::generated::String),
            #[doc = " Wrong colour"]
            Wrong(Colour),
        }
        impl ::core::fmt::Display for Error {
            fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
                match self {
                    Error::NotFound => f.write_str("there is nothing"),
                    Error::Failed(value) => f.write_fmt(::core::format_args!("{}: {value}", "TLS failed, and how")),
                    Error::Wrong(value) => f.write_fmt(::core::format_args!("{}: {value:?}", "wrong colour")),
                }
            }
        }
        impl ::core::error::Error for Error {}
        pub type Key = ::libprocess::generated::String;
        pub type Keys = ::libprocess::generated::Vec<Key>;
        /// Number of the interface.
        pub const NUMBER: u32 = 0x7000;
        /// Numbers of its functions: what a message's tag says in its low 32 bits.
        pub mod tags {
            #[doc = " `nothing`."]
            pub const NOTHING: u32 = 0x7000;
            #[doc = " `add`."]
            pub const ADD: u32 = 0x7001;
            #[doc = " `get`."]
            pub const GET: u32 = 0x7002;
            #[doc = " `put`."]
            pub const PUT: u32 = 0x7003;
            #[doc = " `open`."]
            pub const OPEN: u32 = 0x7004;
            #[doc = " `request`."]
            pub const REQUEST: u32 = 0x7005;
        }
        /// The errors that each function answers, as in the file: a test provokes each.
        pub const ERRORS: &[(&str, &[&str])] = &[
        ("nothing", &[]),
        ("add", &[]),
        ("get", &["NotFound", "Failed", "Wrong"]),
        ("put", &["NotFound", "Failed", "Wrong"]),
        ("open", &["NotFound", "Failed", "Wrong"]),
        ("request", &[]),
        ];
        /// Calls the interface. Clones are the same connection.
        #[derive(Clone, Debug)]
        pub struct Client {
            connection: ::libprocess::client::Connection,
        }
        impl ::libprocess::client::Client for Client {
            const SERVICE: &'static str = "sample";
            fn over(connection: &::libprocess::client::Connection) -> Client {
                Client { connection: connection.clone() }
            }
        }
        impl Client {
            /// A client over an endpoint that the service receives from.
            pub fn new(endpoint: ::libprocess::Cap<::libprocess::Endpoint>) -> Client {
                Client { connection: ::libprocess::client::Connection::new(endpoint) }
            }
            /// The same, with calls that wait so long at most.
            pub fn within(&self, timeout: ::core::time::Duration) -> Client {
                Client { connection: self.connection.within(timeout) }
            }
            /// A client that calls through what another client of the same endpoint does.
            pub fn over(connection: &::libprocess::client::Connection) -> Client {
                Client { connection: connection.clone() }
            }
            /// What it calls through.
            pub fn connection(&self) -> &::libprocess::client::Connection {
                &self.connection
            }
            pub async fn nothing(&self) -> ::core::result::Result<(), ::libprocess::ClientError> {
                let (answer, _): ((), _) = self.connection.call(tags::NOTHING, &(), ::libprocess::wire::Passing::new()).await?;
                Ok(answer)
            }
            #[doc = " Adds."]
            pub async fn add(&self, a: u32, b: ::core::option::Option<&str>) -> ::core::result::Result<u64, ::libprocess::ClientError> {
                let (answer, _): (u64, _) = self.connection.call_idempotent(tags::ADD, &(a, b)).await?;
                let v0 = answer;
                Ok(v0)
            }
            #[doc = " "]
            #[doc = " # Errors"]
            #[doc = " [`NotFound`](Error::NotFound), [`Failed`](Error::Failed), [`Wrong`](Error::Wrong)."]
            pub async fn get(&self, key: &Key, colour: Colour) -> ::core::result::Result<::libprocess::generated::Vec<u8>, ::libprocess::ClientError<Error>> {
                let (answer, _): (::core::result::Result<::libprocess::generated::serde_bytes::ByteBuf, Error>, _) = self.connection.call(tags::GET, &(key, colour), ::libprocess::wire::Passing::new()).await?;
                let answer = answer.map_err(::libprocess::ClientError::Service)?;
                let v0 = answer;
                Ok(v0.into_vec())
            }
            #[doc = " "]
            #[doc = " # Errors"]
            #[doc = " [`NotFound`](Error::NotFound), [`Failed`](Error::Failed), [`Wrong`](Error::Wrong)."]
            pub async fn put(&self, login: &Login, data: &[u8], choices: &[Choice]) -> ::core::result::Result<(), ::libprocess::ClientError<Error>> {
                let (answer, _): (::core::result::Result<(), Error>, _) = self.connection.call(tags::PUT, &(login, ::libprocess::generated::serde_bytes::Bytes::new(data), choices), ::libprocess::wire::Passing::new()).await?;
                let answer = answer.map_err(::libprocess::ClientError::Service)?;
                Ok(answer)
            }
            #[doc = " "]
            #[doc = " # Errors"]
            #[doc = " [`NotFound`](Error::NotFound), [`Failed`](Error::Failed), [`Wrong`](Error::Wrong)."]
            pub async fn open(&self, to: ::libprocess::Cap<::libprocess::capability::Endpoint>, by: &::libprocess::Cap<::libprocess::capability::Any>, more: ::libprocess::generated::Vec<::libprocess::Cap<::libprocess::capability::Any>>) -> ::core::result::Result<(u32, ::libprocess::Cap<::libprocess::capability::Endpoint>, ::core::option::Option<::libprocess::Cap<::libprocess::capability::Any>>), ::libprocess::ClientError<Error>> {
                let mut passing = ::libprocess::wire::Passing::new();
                let to = passing.moves(to);
                let by = passing.derives(by);
                let more = more.into_iter().map(|one| passing.moves(one)).collect::<::libprocess::generated::Vec<u8>>();
                let (answer, mut passed): (::core::result::Result<(u32, u8, ::core::option::Option<u8>), Error>, _) = self.connection.call(tags::OPEN, &(to, by, more), passing).await?;
                let answer = answer.map_err(::libprocess::ClientError::Service)?;
                let (v0, v1, v2) = answer;
                Ok((v0, passed.take(v1)?, passed.take_option(v2)?))
            }
            pub async fn request(&self, request_: &(bool, char), answer_: &::core::result::Result<u8, i8>) -> ::core::result::Result<(Token, ::libprocess::generated::Vec<::libprocess::Cap<::libprocess::capability::Any>>), ::libprocess::ClientError> {
                let (answer, mut passed): ((Token, ::libprocess::generated::Vec<u8>), _) = self.connection.call(tags::REQUEST, &(request_, answer_), ::libprocess::wire::Passing::new()).await?;
                let (v0, v1) = answer;
                Ok((v0, passed.take_list(v1)?))
            }
        }
        /// Answers the interface. One thread: `&self` and cells are enough.
        #[allow(async_fn_in_trait)]
        pub trait Server {
            async fn nothing(&self, caller: ::libprocess::Caller);
            #[doc = " Adds."]
            async fn add(&self, caller: ::libprocess::Caller, a: u32, b: ::core::option::Option<::libprocess::generated::String>) -> u64;
            #[doc = " "]
            #[doc = " # Errors"]
            #[doc = " [`NotFound`](Error::NotFound), [`Failed`](Error::Failed), [`Wrong`](Error::Wrong)."]
            async fn get(&self, caller: ::libprocess::Caller, key: Key, colour: Colour) -> ::core::result::Result<::libprocess::generated::Vec<u8>, Error>;
            #[doc = " "]
            #[doc = " # Errors"]
            #[doc = " [`NotFound`](Error::NotFound), [`Failed`](Error::Failed), [`Wrong`](Error::Wrong)."]
            async fn put(&self, caller: ::libprocess::Caller, login: Login, data: ::libprocess::generated::Vec<u8>, choices: ::libprocess::generated::Vec<Choice>) -> ::core::result::Result<(), Error>;
            #[doc = " "]
            #[doc = " # Errors"]
            #[doc = " [`NotFound`](Error::NotFound), [`Failed`](Error::Failed), [`Wrong`](Error::Wrong)."]
            async fn open(&self, caller: ::libprocess::Caller, to: ::libprocess::Cap<::libprocess::capability::Endpoint>, by: ::libprocess::Cap<::libprocess::capability::Any>, more: ::libprocess::generated::Vec<::libprocess::Cap<::libprocess::capability::Any>>) -> ::core::result::Result<(u32, ::libprocess::Cap<::libprocess::capability::Endpoint>, ::core::option::Option<::libprocess::Cap<::libprocess::capability::Any>>), Error>;
            async fn request(&self, caller: ::libprocess::Caller, request: (bool, char), answer: ::core::result::Result<u8, i8>) -> (Token, ::libprocess::generated::Vec<::libprocess::Cap<::libprocess::capability::Any>>);
        }
        /// Serves the interface by a server.
        #[derive(Debug)]
        pub struct Serve<'a, S: ?Sized>(pub &'a S);
        impl<S: ?Sized> Clone for Serve<'_, S> {
            fn clone(&self) -> Self {
                *self
            }
        }
        impl<S: ?Sized> Copy for Serve<'_, S> {}
        impl<S: Server + ?Sized> ::libprocess::Dispatch for Serve<'_, S> {
            fn accepts(&self, number: u32) -> bool {
                number & !0xff == NUMBER
            }
            #[allow(unused_mut, unused_variables)]
            async fn dispatch(&self, mut request: ::libprocess::service::Request) {
                let caller = request.caller();
                match request.number() {
                    tags::NOTHING => {
                        let Ok(()) = request.decode::<()>() else { return request.refuse(::libprocess::client::Refusal::Malformed) };
                        let answer = self.0.nothing(caller).await;
                        request.answer(&answer, ::libprocess::wire::Passing::new());
                    }
                    tags::ADD => {
                        let Ok((a, b)) = request.decode::<(u32, ::core::option::Option<::libprocess::generated::String>)>() else { return request.refuse(::libprocess::client::Refusal::Malformed) };
                        let answer = self.0.add(caller, a, b).await;
                        request.answer(&answer, ::libprocess::wire::Passing::new());
                    }
                    tags::GET => {
                        let Ok((key, colour)) = request.decode::<(Key, Colour)>() else { return request.refuse(::libprocess::client::Refusal::Malformed) };
                        let answer = self.0.get(caller, key, colour).await;
                        let answer = match &answer {
                            Ok(v0) => Ok(::libprocess::generated::serde_bytes::Bytes::new(&v0[..])),
                            Err(error) => Err(error),
                        };
                        request.answer(&answer, ::libprocess::wire::Passing::new());
                    }
                    tags::PUT => {
                        let Ok((login, data, choices)) = request.decode::<(Login, ::libprocess::generated::serde_bytes::ByteBuf, ::libprocess::generated::Vec<Choice>)>() else { return request.refuse(::libprocess::client::Refusal::Malformed) };
                        let answer = self.0.put(caller, login, data.into_vec(), choices).await;
                        request.answer(&answer, ::libprocess::wire::Passing::new());
                    }
                    tags::OPEN => {
                        let Ok((to, by, more)) = request.decode::<(u8, u8, ::libprocess::generated::Vec<u8>)>() else { return request.refuse(::libprocess::client::Refusal::Malformed) };
                        let mut passed = request.passed();
                        let Ok(to) = passed.take(to) else { return request.refuse(::libprocess::client::Refusal::Malformed) };
                        let Ok(by) = passed.take(by) else { return request.refuse(::libprocess::client::Refusal::Malformed) };
                        let Ok(more) = passed.take_list(more) else { return request.refuse(::libprocess::client::Refusal::Malformed) };
                        let answer = self.0.open(caller, to, by, more).await;
                        let mut passing = ::libprocess::wire::Passing::new();
                        let answer = match answer {
                            Ok((v0, v1, v2)) => Ok((v0, passing.moves(v1), v2.map(|one| passing.moves(one)))),
                            Err(error) => Err(error),
                        };
                        request.answer(&answer, passing);
                    }
                    tags::REQUEST => {
                        let Ok((request_, answer_)) = request.decode::<((bool, char), ::core::result::Result<u8, i8>)>() else { return request.refuse(::libprocess::client::Refusal::Malformed) };
                        let answer = self.0.request(caller, request_, answer_).await;
                        let mut passing = ::libprocess::wire::Passing::new();
                        let (v0, v1) = answer;
                        let answer = (v0, v1.into_iter().map(|one| passing.moves(one)).collect::<::libprocess::generated::Vec<u8>>());
                        request.answer(&answer, passing);
                    }
                    _ => request.refuse(::libprocess::client::Refusal::Unknown),
                }
            }
        }
    }
    #[doc = " What happened."]
    pub mod sample_events {
        pub type Colour = super::everything::Colour;
        /// Number of the interface.
        pub const NUMBER: u32 = 0x7100;
        /// Numbers of its functions: what a message's tag says in its low 32 bits.
        pub mod tags {
            #[doc = " `changed`."]
            pub const CHANGED: u32 = 0x7100;
        }
        /// Calls the interface. Clones are the same connection.
        #[derive(Clone, Debug)]
        pub struct Client {
            connection: ::libprocess::client::Connection,
        }
        impl ::libprocess::client::Client for Client {
            const SERVICE: &'static str = "sample-news";
            fn over(connection: &::libprocess::client::Connection) -> Client {
                Client { connection: connection.clone() }
            }
        }
        impl Client {
            /// A client over an endpoint that the service receives from.
            pub fn new(endpoint: ::libprocess::Cap<::libprocess::Endpoint>) -> Client {
                Client { connection: ::libprocess::client::Connection::new(endpoint) }
            }
            /// The same, with calls that wait so long at most.
            pub fn within(&self, timeout: ::core::time::Duration) -> Client {
                Client { connection: self.connection.within(timeout) }
            }
            /// A client that calls through what another client of the same endpoint does.
            pub fn over(connection: &::libprocess::client::Connection) -> Client {
                Client { connection: connection.clone() }
            }
            /// What it calls through.
            pub fn connection(&self) -> &::libprocess::client::Connection {
                &self.connection
            }
            pub async fn changed(&self, colour: Colour) -> ::core::result::Result<(), ::libprocess::ClientError> {
                self.connection.event(tags::CHANGED, &(colour,), ::libprocess::wire::Passing::new()).await
            }
        }
        /// Answers the interface. One thread: `&self` and cells are enough.
        #[allow(async_fn_in_trait)]
        pub trait Server {
            async fn changed(&self, caller: ::libprocess::Caller, colour: Colour);
        }
        /// Serves the interface by a server.
        #[derive(Debug)]
        pub struct Serve<'a, S: ?Sized>(pub &'a S);
        impl<S: ?Sized> Clone for Serve<'_, S> {
            fn clone(&self) -> Self {
                *self
            }
        }
        impl<S: ?Sized> Copy for Serve<'_, S> {}
        impl<S: Server + ?Sized> ::libprocess::Dispatch for Serve<'_, S> {
            fn accepts(&self, number: u32) -> bool {
                number & !0xff == NUMBER
            }
            #[allow(unused_mut, unused_variables)]
            async fn dispatch(&self, mut request: ::libprocess::service::Request) {
                let caller = request.caller();
                match request.number() {
                    tags::CHANGED => {
                        let Ok((colour,)) = request.decode::<(Colour,)>() else { return request.refuse(::libprocess::client::Refusal::Malformed) };
                        let answer = self.0.changed(caller, colour).await;
                        request.answer(&answer, ::libprocess::wire::Passing::new());
                    }
                    _ => request.refuse(::libprocess::client::Refusal::Unknown),
                }
            }
        }
    }
    pub mod only_types {
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, ::libprocess::generated::Serialize, ::libprocess::generated::Deserialize, Debug)]
        #[serde(crate = "::libprocess::generated::serde")]
        pub struct Pair {
            pub a: u8,
            pub b: u8,
        }
    }
}
