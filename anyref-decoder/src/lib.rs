//! Refocusing, SAM prompt encoder and mask decoder, post-processing and COCO RLE, on any burn backend.
