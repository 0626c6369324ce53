//! Audio decoding, resampling, Kaldi filter bank and the ImageBind audio encoder, on any burn backend.
