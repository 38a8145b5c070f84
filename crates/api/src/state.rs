//! What every handler can reach.

use std::sync::Arc;

use galerie_control::Control;

use crate::{
    arm::{faults::ArmedFaults, throttle::Throttle},
    hosts::Hosts,
    options::{ApiOptions, Throttling},
};

/// Shared by all requests; cheap to clone.
#[derive(Clone)]
pub(crate) struct ApiState {
    pub(crate) control: Control,
    pub(crate) hosts: Arc<Hosts>,
    pub(crate) options: Arc<ApiOptions>,
    /// The budgets of requests, where they are kept.
    pub(crate) throttle: Option<Arc<Throttle>>,
    /// What goes wrong on purpose.
    pub(crate) faults: Arc<ArmedFaults>,
}

impl ApiState {
    pub(crate) fn new(control: Control, options: ApiOptions) -> Self {
        let hosts = Arc::new(Hosts::new(&options.hosts, options.listen));
        let throttle = (options.throttling == Throttling::Azure).then(Arc::default);
        let faults = Arc::new(ArmedFaults::new(&options.faults.answers));
        Self { control, hosts, options: Arc::new(options), throttle, faults }
    }
}
