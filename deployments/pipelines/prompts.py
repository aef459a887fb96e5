"""Prompts: encode, then decode, over the other deployments. Knows no HTTP; holds no embedding."""

from deployments.calls.messages import EncodedImage, PromptAnswer, PromptJob
from deployments.calls.remote import RemoteDeployment, result, retry_on_replica_loss
from deployments.pipelines.pictures import ImageSource, PictureDecoder
from deployments.replicas.prompt_decoder import validate_prompts
from segmentation.errors import UnknownImage


class PromptPipeline:
    """Answers prompts.

    Args:
        encoder, decoder: the deployments.
        picture_decoder: decodes pictures.
        low_res_side: side of `mask_input`.
    """

    def __init__(
        self, encoder: RemoteDeployment, decoder: RemoteDeployment, picture_decoder: PictureDecoder, low_res_side: int
    ) -> None:
        self._encoder = encoder
        self._decoder = decoder
        self._picture_decoder = picture_decoder
        self._low_res_side = low_res_side

    async def segment(self, source: ImageSource, job: PromptJob) -> tuple[PromptAnswer, float]:
        """(the masks, seconds spent on reading the picture).

        The embedding is first asked for by its id alone: a client that sends the same picture with every prompt pays
        for reading it once.

        Raises:
            SegmentationError: what is wrong, or `UnknownImage` for an id that is not held.
        """

        async def held() -> PromptAnswer:
            encoded = self._encoder.call("fetch", source.image_id, key=source.image_id)
            return await result(self._decoder.call("segment", encoded, job), encoded)

        try:
            return await retry_on_replica_loss(held), 0.0
        except UnknownImage:
            if source.file is None:
                raise
        picture, decode_s = await self._picture_decoder.input_picture(source.file)
        validate_prompts(job.prompts, picture.size, self._low_res_side)

        async def fresh() -> PromptAnswer:
            encoded = self._encoder.call("encode", source.image_id, picture, key=source.image_id)
            return await result(self._decoder.call("segment", encoded, job), encoded)

        return await retry_on_replica_loss(fresh), decode_s

    async def prepare(self, source: ImageSource) -> tuple[EncodedImage, float]:
        """(the picture's record without its embedding, which the encoder now holds; seconds spent on reading it)."""

        async def held() -> EncodedImage:
            return await result(self._encoder.call("find", source.image_id, key=source.image_id))

        try:
            return await retry_on_replica_loss(held), 0.0
        except UnknownImage:
            if source.file is None:
                raise
        picture, decode_s = await self._picture_decoder.input_picture(source.file)

        async def fresh() -> EncodedImage:
            return await result(self._encoder.call("prepare", source.image_id, picture, key=source.image_id))

        return await retry_on_replica_loss(fresh), decode_s

    async def embedding(self, image_id: str) -> EncodedImage:
        """The embedding itself, for a client that wants it."""
        return await retry_on_replica_loss(lambda: result(self._encoder.call("fetch", image_id, key=image_id)))
