//! The binary itself: its command line, and what holds when its processes are killed.

#![allow(clippy::unwrap_used, reason = "a test stops where something is wrong")]

mod process;
mod command_line;
mod evidence;
mod descriptors;
mod observed;
mod kill;
mod docs;
mod pages;
mod transcripts;
mod tidy;
mod words;
mod cold_start;
mod storm;
mod scarce;
mod secrets;
mod quota;
mod outage;
mod trace;
mod letters;
mod jobs;
mod flow;
mod edge;
