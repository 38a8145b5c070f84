//! What devices, formats, exports and the NBD server promise, from outside.

mod export;
mod hostile;
mod image;
mod nbd_clients;
mod nbd_protocol;
mod oracle;
mod overlay;
mod support;
