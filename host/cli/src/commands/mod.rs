//! One file a command.

mod baseline;
mod compare;
mod compare_detectable;
mod compare_forest;
mod compare_gate;
mod compare_page;
mod compare_show;
mod devices;
mod doctor;
mod generate;
mod interleave;
mod plugin;
mod plugin_check;
mod plugin_new;
mod plugin_registry;
mod plugin_test;
mod recordings;
mod report;
mod run;
mod shell;
mod sweep;
