//! The program as its users meet it: every command, bad input, full disks, and interruptions.

mod bad;
mod commands;
mod images;
mod interrupted;
mod report;
mod support;
mod texts;
