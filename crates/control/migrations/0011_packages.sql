-- What is still to be fetched of the versions of gallery applications and scripts; a row goes when its bytes are in the version's
-- own region. A link may hold a signature, so it is wrapped by the master key.
CREATE TABLE package_links (
    resource TEXT   NOT NULL REFERENCES resources (key),
    lun      BIGINT NOT NULL,                     -- as in disk_images: -1 the package or script, 0 its default configuration
    property TEXT   NOT NULL,                     -- what named it: 'properties.publishingProfile.source.mediaLink'
    wrap_id  TEXT   NOT NULL,                     -- authenticated with the link
    link     TEXT   NOT NULL,                     -- base64(nonce || AES-256-GCM ciphertext)
    PRIMARY KEY (resource, lun)
);
