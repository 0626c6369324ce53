//! CLIP vision tower, SAM image encoder, their pre-processing and RoIAlign, on any burn backend.
