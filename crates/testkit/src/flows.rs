//! Ways through the gallery that many tests take: waiting for operations, and an image version from an upload.

use axum::{
    body::Body,
    http::{Method, Request},
};
use bytes::Bytes;
use serde_json::{Value, json};

use crate::{Answer, Gallery, vhd};

/// Polls before a test gives up: about a minute.
const MOST_POLLS: u32 = 6000;
/// Between polls. What is waited for is the answer, not the time.
const POLL_EVERY: std::time::Duration = std::time::Duration::from_millis(10);
/// Bytes of one page write.
const WRITE_BYTES: usize = 4 << 20;

impl Gallery {
    /// Polls the operation of an accepted request until it ends; answers its status document. Every document on the way must
    /// be 200 and name the pause: clients wait half a minute otherwise.
    ///
    /// # Panics
    /// When the answer has no operation, or it does not end.
    pub async fn status_of(&self, accepted: &Answer) -> Value {
        let url =
            accepted.header("azure-asyncoperation").unwrap_or_else(|| panic!("no operation: {accepted}")).to_owned();
        for _ in 0..MOST_POLLS {
            let answer = self.get(&url).await.expect(200);
            assert_eq!(answer.header("retry-after"), Some("1"), "{answer}");
            let document = answer.json();
            if document["status"] != "InProgress" {
                return document;
            }
            tokio::time::sleep(POLL_EVERY).await;
        }
        panic!("{url} does not end");
    }

    /// As [`Gallery::status_of`], for an operation that must succeed.
    ///
    /// # Panics
    /// When it does not.
    pub async fn succeeded(&self, accepted: &Answer) -> Value {
        assert!(accepted.status < 300, "{accepted}");
        let document = self.status_of(accepted).await;
        assert_eq!(document["status"], "Succeeded", "{document}");
        document
    }

    /// Polls the `Location` of an accepted request until it is no longer 202. Every 202 on the way must name the pause and
    /// where to go on.
    ///
    /// # Panics
    /// When there is none, or it does not end.
    pub async fn result_of(&self, accepted: &Answer) -> Answer {
        let url = accepted.header("location").unwrap_or_else(|| panic!("no location: {accepted}")).to_owned();
        for _ in 0..MOST_POLLS {
            let answer = self.get(&url).await;
            if answer.status != 202 {
                return answer;
            }
            assert_eq!(answer.header("retry-after"), Some("1"), "{answer}");
            assert_eq!(answer.header("location"), Some(url.as_str()), "{answer}");
            tokio::time::sleep(POLL_EVERY).await;
        }
        panic!("{url} does not end");
    }

    /// Makes a resource group.
    pub async fn make_group(&self, group: &str, location: &str) {
        let path = format!("{{s}}/resourceGroups/{group}?api-version=2024-11-01");
        let _ = self.put(&path, json!({ "location": location })).await.expect(201);
    }

    /// Begins access to a disk or snapshot (`{s}/resourceGroups/...`, without a query); answers the SAS.
    pub async fn grant(&self, id: &str, access: &str) -> String {
        let body = json!({ "access": access, "durationInSeconds": 3600 });
        let path = format!("{id}/beginGetAccess?api-version=2025-01-02");
        let accepted = self.post(&path, Some(body)).await.expect(202);
        let result = self.result_of(&accepted).await.expect(200);
        result.json()["accessSAS"].as_str().unwrap_or_else(|| panic!("no SAS: {result}")).to_owned()
    }

    /// Ends access and waits for the operation; answers its status document.
    pub async fn end_access(&self, id: &str) -> Value {
        let accepted = self.post(&format!("{id}/endGetAccess?api-version=2025-01-02"), None).await.expect(202);
        self.status_of(&accepted).await
    }

    /// Makes a disk for an upload of a file of this size.
    pub async fn make_upload_disk(&self, id: &str, location: &str, file_bytes: u64) {
        let body = json!({
            "location": location,
            "properties": {
                "osType": "Linux",
                "hyperVGeneration": "V2",
                "creationData": { "createOption": "Upload", "uploadSizeBytes": file_bytes }
            }
        });
        let accepted = self.put(&format!("{id}?api-version=2025-01-02"), body).await.expect(202);
        self.succeeded(&accepted).await;
    }

    /// Sends a request to a SAS; `query` is added to it.
    pub async fn blob(&self, method: Method, sas: &str, query: &str, headers: &[(&str, &str)], body: Bytes) -> Answer {
        let separator = if query.is_empty() { "" } else { "&" };
        let uri = format!("{}{separator}{query}", self.path(sas));
        let mut request = Request::builder().method(method).uri(uri).header("content-length", body.len());
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.send(request.body(Body::from(body)).expect("a request")).await
    }

    /// Writes pages that are not zeros, as upload tools do.
    pub async fn upload_pages(&self, sas: &str, file: &[u8]) {
        for (index, pages) in file.chunks(WRITE_BYTES).enumerate() {
            if pages.iter().all(|byte| *byte == 0) {
                continue;
            }
            let start = index * WRITE_BYTES;
            let range = format!("bytes={start}-{}", start + pages.len() - 1);
            let headers = [("x-ms-page-write", "update"), ("x-ms-range", range.as_str())];
            let body = Bytes::copy_from_slice(pages);
            let _ = self.blob(Method::PUT, sas, "comp=page", &headers, body).await.expect(201);
        }
    }

    /// Makes a disk with these bytes by uploading their VHD.
    pub async fn upload_disk(&self, id: &str, location: &str, disk: &[u8]) {
        let file = vhd::fixed(disk);
        self.make_upload_disk(id, location, file.len() as u64).await;
        let sas = self.grant(id, "Write").await;
        self.upload_pages(&sas, &file).await;
        let ended = self.end_access(id).await;
        assert_eq!(ended["status"], "Succeeded", "{ended}");
    }

    /// Makes a gallery and an image definition (Linux, generalized, V2) in a group; answers the definition's path.
    pub async fn make_definition(&self, group: &str, gallery: &str, definition: &str, location: &str) -> String {
        let gallery = format!("{{s}}/resourceGroups/{group}/providers/Microsoft.Compute/galleries/{gallery}");
        let accepted = self.put(&format!("{gallery}?api-version=2024-03-03"), json!({ "location": location })).await;
        self.succeeded(&accepted).await;
        let body = json!({
            "location": location,
            "properties": {
                "osType": "Linux",
                "osState": "Generalized",
                "hyperVGeneration": "V2",
                "identifier": { "publisher": "galerie", "offer": definition, "sku": "test" }
            }
        });
        let definition = format!("{gallery}/images/{definition}");
        let accepted = self.put(&format!("{definition}?api-version=2024-03-03"), body).await;
        self.succeeded(&accepted).await;
        definition
    }
}
