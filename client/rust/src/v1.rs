//! Messages and stubs generated from `protos/holdfast/v1`, for what the rest of this crate has no function for. Make a
//! stub on [`Client::channel`](crate::Client::channel).

#![allow(clippy::all, clippy::pedantic, missing_docs, unused_qualifications)]
#![allow(rustdoc::invalid_html_tags, rustdoc::broken_intra_doc_links, rustdoc::bare_urls)]

tonic::include_proto!("holdfast.v1");
