//! What people use, from the outside: the library's sessions, the command, training runs, and the
//! published implementation's numbers. All of it in one program, so that it is linked once.

mod architecture;
mod bad_checkpoints;
#[cfg(unix)]
mod book;
mod check;
mod checkpoints;
mod chromium;
mod cli;
mod convert;
mod doctor;
mod download;
mod evaluate;
mod examples;
mod explain;
mod foreign_checkpoints;
mod fuzz_regressions;
mod hub_command;
mod hub_server;
mod many_devices;
mod merge_lora;
mod parity;
mod quantize;
mod segment_formats;
#[cfg(feature = "serve")]
mod serve;
mod session;
mod support;
mod terminal;
mod tiny_model;
mod train;
mod train_own;
mod web;
