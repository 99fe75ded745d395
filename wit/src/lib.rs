//! Orbital's one contract: WIT files and the generator of types, clients, servers and numbers
