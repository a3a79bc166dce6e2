"""A web page that segments images, for a Hugging Face Space; `python app.py` runs it here."""

import os

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")

import gradio as gr

import unimask
from unimask.errors import UnimaskError

MODELS = {name: unimask.load(name) for name in ("rendered-town", "nuclei")}
TASKS = ("panoptic", "instance", "semantic")


def segment(image, model, task):
    """Return the image with its segments drawn over it, and a table of the segments."""
    if image is None:
        raise gr.Error("Choose an image first.")
    try:
        result = MODELS[model].predict(image, task=task)
    except UnimaskError as error:
        raise gr.Error(str(error)) from error
    return result.plot(legend=False), [
        [s.label, s.area, round(s.score, 2)] for s in result.segments
    ]


page = gr.Interface(
    segment,
    [
        gr.Image(type="pil", label="Image"),
        gr.Radio(list(MODELS), value="nuclei", label="Model"),
        gr.Radio(TASKS, value="instance", label="Task"),
    ],
    [
        gr.Image(format="png", label="Result"),
        gr.Dataframe(headers=["class", "pixels", "score"], label="Segments"),
    ],
    title="unimask",
    flagging_mode="never",
    analytics_enabled=False,
)

if __name__ == "__main__":
    page.launch(theme=gr.themes.Default(font="system-ui", font_mono="monospace"))
