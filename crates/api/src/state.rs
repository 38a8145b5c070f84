//! What every handler can reach.

use std::sync::Arc;

use galerie_control::Control;

use crate::{hosts::Hosts, options::ApiOptions};

/// Shared by all requests; cheap to clone.
#[derive(Clone)]
pub(crate) struct ApiState {
    pub(crate) control: Control,
    pub(crate) hosts: Arc<Hosts>,
    pub(crate) options: Arc<ApiOptions>,
}

impl ApiState {
    pub(crate) fn new(control: Control, options: ApiOptions) -> Self {
        let hosts = Arc::new(Hosts::new(&options.hosts, options.listen));
        Self { control, hosts, options: Arc::new(options) }
    }
}
