//! One file a command.

mod baseline;
mod compare;
mod devices;
mod doctor;
mod generate;
mod plugin;
mod plugin_check;
mod plugin_new;
mod plugin_registry;
mod plugin_test;
mod recordings;
mod report;
mod run;
mod shell;
