//! Sharing beside roles: with subscriptions and tenants, and with the community. `docs/design/sharing.md`.
//!
//! ```text
//!   Private <--Reset-- Groups (Add, Remove)        Private --Add-------------> Groups, if it was that before a Reset
//!      ^---------Reset-- Community, unpublished    Private --EnableCommunity-> Community, if it was that before
//!      ^---------Reset-- Community, published <--EnableCommunity-- Community, unpublished
//! ```
//! The state is chosen when the gallery is made, and follows from its document ([`state`]). [`update`] is `POST share`. [`reach`]
//! answers who sees what and where; [`proxy`] shows it, [`community`] lists what is published. What another tenant makes from
//! a shared version is copied into that tenant's own domain ([`foreign`]).

mod community;
pub(crate) mod foreign;
pub(crate) mod groups;
mod invitation;
pub(crate) mod proxy;
mod proxy_document;
pub(crate) mod public_name;
pub(crate) mod reach;
pub(crate) mod state;
#[cfg(test)]
mod tests;
mod update;

pub use self::{
    community::CommunityPage,
    invitation::{Invitation, Invited},
    proxy::{ProxyItem, ProxyList, ProxyPage, ProxyPlace},
};
