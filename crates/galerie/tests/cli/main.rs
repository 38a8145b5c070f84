//! The built program, driven as its users drive it: processes, files, HTTPS.

mod backup;
mod commands;
mod images;
mod publish;
mod serve;
mod server;
mod tls;
