//! The compute provider's operation groups: which requests share a budget, and how large it is.
//!
//! Names and figures are those of `x-ms-ratelimit-remaining-resource` in public recordings of the real service (the test suites
//! of the Azure CLI and of Azure PowerShell). An operation that none of them shows has no budget here; Resource Manager's apply.

use axum::http::Method;

use super::super::route::Route;

/// Requests that share a budget.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Group {
    /// As Azure calls it.
    pub(super) name: &'static str,
    /// How many requests three minutes, and half an hour, allow.
    pub(super) requests: [u32; 2],
}

const fn group(name: &'static str, requests: [u32; 2]) -> Group {
    Group { name, requests }
}

static CREATE_UPDATE_GALLERY: Group = group("CreateUpdateGallery", [50, 300]);
static GET_GALLERY: Group = group("GetGallery", [350, 2500]);
static POST_SHARE_GALLERY: Group = group("PostShareGallery", [10, 60]);
static CREATE_UPDATE_GALLERY_IMAGE: Group = group("CreateUpdateGalleryImage", [150, 750]);
static GET_GALLERY_IMAGE: Group = group("GetGalleryImage", [600, 3000]);
static DELETE_GALLERY_IMAGE_VERSION: Group = group("DeleteGalleryImageVersion", [150, 1000]);
static GET_OPERATION_STATUS: Group = group("GetOperationStatus", [5000, 15_000]);
static CREATE_UPDATE_DISKS: Group = group("CreateUpdateDisks", [1000, 8000]);

/// The group of a request.
pub(super) fn of(method: &Method, route: Route) -> Option<&'static Group> {
    let is_write = *method == Method::PUT || *method == Method::PATCH;
    let is_read = *method == Method::GET || *method == Method::HEAD;
    match route {
        Route::Gallery if is_write => Some(&CREATE_UPDATE_GALLERY),
        Route::Gallery if is_read => Some(&GET_GALLERY),
        Route::GalleryShare if *method == Method::POST => Some(&POST_SHARE_GALLERY),
        Route::ImageDefinition if is_write => Some(&CREATE_UPDATE_GALLERY_IMAGE),
        Route::ImageDefinition if is_read => Some(&GET_GALLERY_IMAGE),
        Route::ImageVersion if *method == Method::DELETE => Some(&DELETE_GALLERY_IMAGE_VERSION),
        Route::CapsOperation if is_read => Some(&GET_OPERATION_STATUS),
        Route::Disk if is_write => Some(&CREATE_UPDATE_DISKS),
        _ => None,
    }
}
