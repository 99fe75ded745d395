//! The peer of a call between two processes: a Unix socket pair between two
//! processes of the operating system, both on the core that the benchmark runs on.
//! One round trip writes `length` bytes and reads as many back.

use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};

/// Set in the environment of the process that echoes: the length of a message.
const ECHO: &str = "ORBITAL_BENCH_ECHO";

/// If this process was started as the echo, echoes until the pair closes, then exits.
pub fn serve_if_asked() {
    let Ok(length) = std::env::var(ECHO) else { return };
    let length: usize = length.parse().expect("the length is a number that SocketPair::start wrote");
    let mut input = std::io::stdin().lock();
    let mut output = UnixStream::from(
        std::os::fd::AsFd::as_fd(&std::io::stdin()).try_clone_to_owned().expect("a second descriptor of the socket"),
    );
    let mut message = vec![0; length];
    while input.read_exact(&mut message).is_ok() && output.write_all(&message).is_ok() {}
    std::process::exit(0);
}

/// The two ends; the far one is a process of its own.
pub struct SocketPair {
    near: UnixStream,
    far: Child,
    message: Vec<u8>,
}

impl SocketPair {
    /// Starts the echo process. It inherits the core that the caller is pinned to.
    pub fn start(length: usize) -> std::io::Result<SocketPair> {
        let (near, far) = UnixStream::pair()?;
        let far = Command::new(std::env::current_exe()?)
            .env(ECHO, length.to_string())
            .stdin(Stdio::from(OwnedFd::from(far)))
            .spawn()?;
        Ok(SocketPair { near, far, message: vec![7; length] })
    }

    /// One message there and back.
    pub fn round_trip(&mut self) {
        self.near.write_all(&self.message).expect("the echo process reads");
        self.near.read_exact(&mut self.message).expect("the echo process answers");
    }
}

impl Drop for SocketPair {
    fn drop(&mut self) {
        let _ = self.near.shutdown(std::net::Shutdown::Both);
        let _ = self.far.wait();
    }
}
