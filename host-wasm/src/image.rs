//! Executables: what a process can be made from, checked and compiled.
//!
//! The form is a WebAssembly component of the world `process` in `wit/kernel.wit`; a core
//! module that imports kernel calls alone is wrapped into one. A component with one
//! application module and exactly the known imports is linked on the core path: its
//! module directly with the kernel calls, the canonical ABI by hand ([`crate::link::core`]).
//! Any other goes through the component linker, which costs more per call.

use crate::link;
use crate::machine::process::Process;
use abi::Error;
use kernel::input::Hash;
use std::sync::Arc;
use wasmparser::{
    CanonicalFunction, CanonicalOption, ComponentExternalKind, Encoding, ExternalKind, Parser, Payload, TypeRef,
};
use wasmtime::component::Component;
use wasmtime::{Engine, Module};

/// The interface of the kernel calls, as components import it.
pub const INTERFACE: &str = "orbital:kernel/calls@0.1.0";
/// The largest executable: what a region of it and its compilation may cost.
pub const MOST_BYTES: u64 = 64 << 20;
/// The WIT file that says what a process imports and exports.
pub const KERNEL_WIT: &str = include_str!("../../wit/kernel.wit");

/// How an executable is linked with the kernel calls.
pub enum Form {
    /// Its module directly.
    Core(wasmtime::InstancePre<Process>),
    /// The whole component.
    Component(wasmtime::component::InstancePre<Process>),
}

/// A checked and compiled executable.
pub struct Executable {
    /// How it is linked.
    pub form: Form,
}

/// An executable under the hash of the bytes that it came from.
#[derive(Clone)]
pub struct Checked {
    /// BLAKE3.
    pub hash: Hash,
    /// Bytes.
    pub length: u64,
    /// What was made of them.
    pub executable: Arc<Executable>,
}

/// Why bytes are no executable, in words.
#[derive(Debug)]
pub struct Refusal(pub String);

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<Refusal> for Error {
    /// What the process hears that asked for an image.
    fn from(_: Refusal) -> Error {
        Error::InvalidArgument
    }
}

/// Which paths an executable may take.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Path {
    /// The core path where it can be taken.
    Fastest,
    /// The component linker for all.
    Component,
}

/// Makes executables of bytes. Cheap to clone; works on any thread.
#[derive(Clone)]
pub struct Loader {
    engine: Engine,
    core: Arc<wasmtime::Linker<Process>>,
    component: Arc<wasmtime::component::Linker<Process>>,
    path: Path,
}

impl Loader {
    /// A loader for this engine.
    pub fn new(engine: &Engine, path: Path) -> wasmtime::Result<Loader> {
        Ok(Loader {
            engine: engine.clone(),
            core: Arc::new(link::core::linker(engine)?),
            component: Arc::new(link::component::linker(engine)?),
            path,
        })
    }

    /// Checks, compiles and links. The bytes are hostile.
    pub fn load(&self, bytes: &[u8]) -> Result<Checked, Refusal> {
        if bytes.len() as u64 > MOST_BYTES {
            return Err(Refusal(format!("it is larger than {} MiB", MOST_BYTES >> 20)));
        }
        let hash = *blake3::hash(bytes).as_bytes();
        let wrapped;
        let component = if Parser::is_core_wasm(bytes) {
            wrapped = wrap(bytes)?;
            &wrapped
        } else if Parser::is_component(bytes) {
            bytes
        } else {
            return Err(Refusal("it is neither a WebAssembly component nor a core module".into()));
        };
        let module = if self.path == Path::Fastest { application_module(component) } else { None };
        let form = match module.and_then(|module| self.link_core(module)) {
            Some(form) => form,
            None => self.link_component(component)?,
        };
        Ok(Checked { hash, length: bytes.len() as u64, executable: Arc::new(Executable { form }) })
    }

    /// The core path; `None` where the module is not what the path expects: the
    /// component linker then says what is wrong, if anything is.
    fn link_core(&self, module: &[u8]) -> Option<Form> {
        let module = Module::from_binary(&self.engine, module).ok()?;
        link::core::exports_fit(&module).then_some(())?;
        // Checks every import's name and signature against the calls.
        self.core.instantiate_pre(&module).ok().map(Form::Core)
    }

    fn link_component(&self, component: &[u8]) -> Result<Form, Refusal> {
        let refusal = |error: wasmtime::Error| Refusal(format!("{error:#}"));
        let component = Component::from_binary(&self.engine, component).map_err(refusal)?;
        let pre = self.component.instantiate_pre(&component).map_err(refusal)?;
        link::component::exports_fit(&pre).map_err(refusal)?;
        Ok(Form::Component(pre))
    }
}

/// Wraps a core module that imports kernel calls alone into a component.
pub fn wrap(module: &[u8]) -> Result<Vec<u8>, Refusal> {
    let refusal = |what: &str| Refusal(format!("it cannot be made into a process: {what}"));
    let mut bytes = module.to_vec();
    if !has_component_type(module) {
        let mut resolve = wit_parser::Resolve::default();
        let package = resolve.push_source("kernel.wit", KERNEL_WIT).map_err(|error| refusal(&format!("{error:#}")))?;
        let world =
            resolve.select_world(&[package], Some("process")).map_err(|error| refusal(&format!("{error:#}")))?;
        wit_component::embed_component_metadata(&mut bytes, &resolve, world, wit_component::StringEncoding::UTF8)
            .map_err(|error| refusal(&format!("{error:#}")))?;
    }
    wit_component::ComponentEncoder::default()
        .validate(true)
        .module(&bytes)
        .and_then(|mut encoder| encoder.encode())
        .map_err(|error| refusal(&format!("{error:#}")))
}

/// Whether the module itself says what component it is to be.
fn has_component_type(module: &[u8]) -> bool {
    Parser::new(0).parse_all(module).map_while(Result::ok).any(
        |payload| matches!(payload, Payload::CustomSection(section) if section.name().starts_with("component-type")),
    )
}

/// The one application module of a component that has exactly the known shape: it imports
/// the kernel calls alone, exports `run` alone, and beside the application's module
/// there are only the two that the encoder adds to reach memory before it exists.
fn application_module(component: &[u8]) -> Option<&[u8]> {
    let mut modules: Vec<(usize, usize)> = Vec::new();
    let mut depth = 0;
    for payload in Parser::new(0).parse_all(component) {
        match payload.ok()? {
            Payload::Version { encoding: Encoding::Module, .. } => depth += 1,
            Payload::End(_) if depth > 0 => depth -= 1,
            _ if depth > 0 => {}
            Payload::ModuleSection { unchecked_range, .. } => {
                modules.push((unchecked_range.start, unchecked_range.end))
            }
            Payload::ComponentSection { .. } | Payload::ComponentStartSection { .. } => return None,
            Payload::ComponentImportSection(imports) => {
                for import in imports {
                    if import.ok()?.name.name != INTERFACE {
                        return None;
                    }
                }
            }
            Payload::ComponentExportSection(exports) => {
                for export in exports {
                    let export = export.ok()?;
                    if export.name.name != "run" || export.kind != ComponentExternalKind::Func {
                        return None;
                    }
                }
            }
            Payload::ComponentCanonicalSection(functions) => {
                for function in functions {
                    if !plain(&function.ok()?) {
                        return None;
                    }
                }
            }
            _ => {}
        }
    }
    let (&(start, end), added) = modules.split_first()?;
    let all_added = added.iter().all(|&(start, end)| component.get(start..end).is_some_and(is_added_by_encoder));
    let application = component.get(start..end)?;
    (all_added && imports_kernel_alone(application)).then_some(application)
}

/// Whether strings are UTF-8 and nothing is asynchronous.
fn plain(function: &CanonicalFunction) -> bool {
    let (CanonicalFunction::Lift { options, .. } | CanonicalFunction::Lower { options, .. }) = function else {
        return false;
    };
    options.iter().all(|option| {
        matches!(option, CanonicalOption::UTF8 | CanonicalOption::Memory(_) | CanonicalOption::Realloc(_))
    })
}

/// Whether a module is one of the encoder's own: a table of trampolines or what fills it.
/// Neither has a memory; its imports are functions and tables with numbers for names.
fn is_added_by_encoder(module: &[u8]) -> bool {
    Parser::new(0).parse_all(module).all(|payload| match payload {
        Ok(Payload::MemorySection(_) | Payload::StartSection { .. } | Payload::DataSection(_)) => false,
        Ok(Payload::ExportSection(exports)) => exports.into_iter().all(|export| {
            export.is_ok_and(|export| {
                matches!(export.kind, ExternalKind::Func | ExternalKind::Table) && is_number(export.name)
            })
        }),
        Ok(Payload::ImportSection(imports)) => imports
            .into_imports()
            .all(|import| import.is_ok_and(|import| import.module.is_empty() && is_number(import.name))),
        Ok(_) => true,
        Err(_) => false,
    })
}

fn is_number(name: &str) -> bool {
    name == "$imports" || name.bytes().all(|byte| byte.is_ascii_digit())
}

fn imports_kernel_alone(module: &[u8]) -> bool {
    Parser::new(0).parse_all(module).all(|payload| match payload {
        Ok(Payload::ImportSection(imports)) => imports.into_imports().all(|import| {
            import.is_ok_and(|import| import.module == INTERFACE && matches!(import.ty, TypeRef::Func(_)))
        }),
        Ok(_) => true,
        Err(_) => false,
    })
}
