//! The integration tests: the program against its sandbox, over real HTTP, with real files.

mod first;
mod harness;
mod layers;
