"""A page to point at things in a photo: pip install anyref gradio pillow, then run this file."""

import gradio as gr

import anyref

model = anyref.load()


def answer(photo, words, sample, sound):
    if photo is None:
        raise gr.Error("drop a photo first")
    references = [words] if words else []
    if sample is not None:
        references.append(anyref.Image(sample))
    if sound is not None:
        rate, samples = sound
        references.append(anyref.Audio((samples if samples.ndim == 1 else samples[:, 0], rate)))
    try:
        found = model.picture(photo).segment(*references)
    except anyref.AnyRefError as error:
        raise gr.Error(str(error)) from None
    masks = [(mask.numpy(), f"{found.text} {mask.score:.2f}") for mask in found.masks]
    return (photo, masks), found.text


page = gr.Interface(
    answer,
    inputs=[
        gr.Image(label="photo"),
        gr.Textbox(label="words", placeholder="the dog on the left"),
        gr.Image(label="a picture of such a thing"),
        gr.Audio(label="the sound it makes"),
    ],
    outputs=[gr.AnnotatedImage(label="masks"), gr.Textbox(label="answer")],
    title="AnyRef",
    flagging_mode="never",
)

if __name__ == "__main__":
    page.launch()
