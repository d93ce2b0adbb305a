//! The integration tests: the program against its sandbox, over real HTTP, with real files.

mod crash;
mod first;
mod harness;
mod layers;
mod property;
mod bad_input;
mod child;
mod contract_broker;
mod contract_store;
mod dead_letters;
mod limits;
mod receive;
mod resilience;
mod wire;
mod captured;
mod full_disk;
