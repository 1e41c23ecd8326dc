"""Make onnx_files/*.onnx by PyTorch and TensorFlow themselves: small networks, exported as their users export them.

    python make_onnx_files.py torch         needs torch (the files in the tree: 1.13)
    python make_onnx_files.py tensorflow    needs tensorflow and tf2onnx (the files in the tree: 2.21 and 1.17)
"""

import pathlib
import sys

FOLDER = pathlib.Path(__file__).parent / "onnx_files"


def by_torch():
    import torch
    from torch import nn

    class Residual(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.c = nn.Conv2d(3, 5, 3, 2, 1, bias=False), nn.Conv2d(5, 5, 3, padding=1, bias=False)
            self.b, self.d = nn.BatchNorm2d(5), nn.BatchNorm2d(5)
            self.pool, self.mean, self.dense = nn.AvgPool2d(2), nn.AdaptiveAvgPool2d(1), nn.Linear(5, 3)

        def forward(self, x):
            x = torch.relu(self.b(self.a(x)))
            x = torch.relu(self.d(self.c(x)) + x)
            x = self.mean(self.pool(x))
            return self.dense(x.view(x.size(0), -1))

    def icnnmd():
        return nn.Sequential(
            nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 4, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Dropout(0.25),
            nn.Conv2d(4, 6, 3, padding=1), nn.ReLU(), nn.Conv2d(6, 6, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Dropout(0.25),
            nn.Flatten(), nn.Linear(6 * 2 * 2, 8), nn.ReLU(), nn.Dropout(0.5), nn.Linear(8, 2), nn.Softmax(dim=1))

    class Flat(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.dense = nn.Conv2d(3, 4, 3), nn.Linear(4 * 6 * 5, 3)

        def forward(self, x):
            x = torch.relu(self.conv(x))
            return self.dense(x.reshape(x.shape[0], -1))

    def save(name, model, shape, **options):
        for part in model.modules():
            if isinstance(part, nn.BatchNorm2d):
                part.running_mean.uniform_(-0.3, 0.3)
                part.running_var.uniform_(0.5, 1.5)
        axes = {"input": {0: "batch"}, "output": {0: "batch"}}
        torch.onnx.export(model, torch.rand(2, *shape), FOLDER / f"torch-{name}.onnx", input_names=["input"],
                          output_names=["output"], dynamic_axes=axes, **options)

    torch.manual_seed(1)
    save("icnnmd", icnnmd().eval(), (3, 15, 15), opset_version=13)
    save("residual", Residual().eval(), (3, 14, 12), opset_version=14)
    save("residual-not-folded", Residual().eval(), (3, 14, 12), opset_version=11, do_constant_folding=False)
    save("batchnorm", Residual().eval(), (3, 14, 12), opset_version=13, training=torch.onnx.TrainingMode.PRESERVE,
         do_constant_folding=False)
    save("reshape", Flat().eval(), (3, 8, 7), opset_version=16)


def by_tensorflow():
    import tensorflow as tf
    import tf2onnx

    layers = tf.keras.layers

    def icnnmd():
        return tf.keras.Sequential([
            layers.Input((15, 15, 3)), layers.Conv2D(4, 3, padding="same"), layers.Conv2D(4, 3), layers.ReLU(),
            layers.MaxPool2D(2), layers.Dropout(0.25), layers.Conv2D(6, 3, padding="same", activation="relu"),
            layers.Conv2D(6, 3, activation="relu"), layers.MaxPool2D(2), layers.Dropout(0.25), layers.Flatten(),
            layers.Dense(8, activation="relu"), layers.Dropout(0.5), layers.Dense(2, activation="softmax")])

    def residual():
        image = layers.Input((14, 12, 3))
        x = layers.BatchNormalization()(layers.Conv2D(5, 3, strides=2, padding="same", use_bias=False)(image))
        stem = layers.ReLU()(x)
        x = layers.BatchNormalization()(layers.Conv2D(5, 3, padding="same")(stem))
        x = layers.AveragePooling2D(2)(layers.ReLU()(layers.Add()([x, stem])))
        return tf.keras.Model(image, layers.Dense(3)(layers.GlobalAveragePooling2D()(x)))

    def gray():
        return tf.keras.Sequential([
            layers.Input((12, 11, 1)), layers.Conv2D(6, (3, 2), padding="same", activation="relu"), layers.MaxPool2D(2),
            layers.Flatten(), layers.Dense(4)])

    def save(name, model, shape):
        for weight in model.weights:
            weight.assign(weight + tf.random.uniform(weight.shape, 0, 0.1))
        signature = (tf.TensorSpec((None, *shape), tf.float32, name="input"),)
        tf2onnx.convert.from_function(tf.function(lambda x: model(x, training=False)), input_signature=signature,
                                      opset=13, output_path=FOLDER / f"tensorflow-{name}.onnx")

    tf.keras.utils.set_random_seed(3)
    save("icnnmd", icnnmd(), (15, 15, 3))
    save("residual", residual(), (14, 12, 3))
    save("gray", gray(), (12, 11, 1))


if __name__ == "__main__":
    {"torch": by_torch, "tensorflow": by_tensorflow}[sys.argv[1]]()
