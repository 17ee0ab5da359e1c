//! What workers print, and where it goes: our own output, or files.
//!
//! Decides where a line ends and how it is written. Called by `spawn`, which hands over the pipes. Never waits for a disk or for whoever
//! takes our output, and never looks at what a line says.

pub(super) mod files;
mod json;
pub(super) mod lines;
pub(super) mod stream;
