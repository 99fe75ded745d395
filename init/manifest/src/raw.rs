//! The manifest as it is written: TOML tables, each value with its place in the text.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;
use serde::Deserialize;
use toml::Spanned;

/// The whole file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Manifest {
    #[serde(default)]
    pub service: Vec<Service>,
    #[serde(default)]
    pub session: Vec<Session>,
}

/// `[[service]]`
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Service {
    pub name: Spanned<String>,
    pub image: Spanned<String>,
    pub hash: Option<Spanned<String>>,
    pub badge: Spanned<u64>,
    pub phase: Spanned<u32>,
    #[serde(default)]
    pub needs: Vec<Spanned<String>>,
    pub quota: Quota,
    #[serde(default)]
    pub limits: Limits,
    pub queue: Option<Spanned<u32>>,
    #[serde(default)]
    pub public: bool,
    pub ready_timeout: Option<Spanned<String>>,
    pub stop_timeout: Option<Spanned<String>>,
    #[serde(default)]
    pub restart: Restart,
    #[serde(default)]
    pub health: Health,
    #[serde(default)]
    pub arguments: Vec<String>,
    #[serde(default)]
    pub environment: BTreeMap<String, String>,
    #[serde(default)]
    pub capabilities: Vec<Capability>,
}

/// `[[session]]`
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Session {
    pub name: Spanned<String>,
    pub image: Spanned<String>,
    pub hash: Option<Spanned<String>>,
    pub badge: Spanned<u64>,
    #[serde(default)]
    pub needs: Vec<Spanned<String>>,
    pub quota: Quota,
    #[serde(default)]
    pub limits: Limits,
    pub stop_timeout: Option<Spanned<String>>,
    #[serde(default)]
    pub arguments: Vec<String>,
    #[serde(default)]
    pub environment: BTreeMap<String, String>,
    #[serde(default)]
    pub capabilities: Vec<Capability>,
}

/// `quota = { memory = "..", pages = ".." }`
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Quota {
    pub memory: Spanned<String>,
    pub pages: Spanned<String>,
}

/// `limits = { .. }`
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Limits {
    pub capabilities: Option<Spanned<u32>>,
    pub queued_messages: Option<Spanned<u32>>,
    pub processor_time: Option<Spanned<String>>,
}

/// `restart = { .. }`
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Restart {
    pub policy: Option<Spanned<String>>,
    pub initial: Option<Spanned<String>>,
    pub max: Option<Spanned<String>>,
    pub limit: Option<Spanned<u32>>,
    pub window: Option<Spanned<String>>,
}

/// `health = { .. }`
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Health {
    pub interval: Option<Spanned<String>>,
    pub timeout: Option<Spanned<String>>,
    pub misses: Option<Spanned<u32>>,
}

/// One line of `capabilities`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Capability {
    pub name: Spanned<String>,
    pub of: Spanned<String>,
    pub rights: Vec<Spanned<String>>,
    pub badge: Option<Spanned<u64>>,
    pub subspace: Option<Spanned<Vec<String>>>,
    #[serde(default)]
    pub optional: bool,
}
