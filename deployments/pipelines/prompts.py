"""Prompts: encode, then decode, over the other deployments. Knows no HTTP; holds no embedding."""

from dataclasses import replace

from deployments.calls.messages import EncodedImage, ImageRecord, NotPrepared, PromptAnswer, PromptJob
from deployments.calls.remote import RemoteDeployment, result, retry_on_replica_loss
from deployments.pipelines.known_pictures import KnownPictures
from deployments.pipelines.pictures import ImageSource, PictureDecoder
from segmentation.errors import UnknownImage
from segmentation.prompts import validate_prompts


class PromptPipeline:
    """Answers prompts.

    Args:
        encoder, decoder: the deployments. Calls about a picture go to the replica that its id is routed to.
        picture_decoder: decodes pictures.
        low_res_side: side of `mask_input`.
        known: pictures that were encoded, by what this ingress replica has seen.
    """

    def __init__(
        self,
        encoder: RemoteDeployment,
        decoder: RemoteDeployment,
        picture_decoder: PictureDecoder,
        low_res_side: int,
        known: KnownPictures,
    ) -> None:
        self._encoder = encoder
        self._decoder = decoder
        self._picture_decoder = picture_decoder
        self._low_res_side = low_res_side
        self._known = known

    async def segment(self, source: ImageSource, job: PromptJob) -> tuple[PromptAnswer, float]:
        """(the masks, seconds spent on decoding the picture).

        A picture that is known is asked for by its id, even if its file came too: a client that sends the same picture
        with every prompt pays for decoding it once.

        Raises:
            SegmentationError: what is wrong, or `UnknownImage` for an id without an embedding.
        """
        image_id, searched = source.image_id, False
        if source.file is None or image_id in self._known:
            try:
                answer = await retry_on_replica_loss(lambda: self._segment_encoded(image_id, job))
            except UnknownImage:
                self._known.discard(image_id)
                if source.file is None:
                    raise
                searched = True
            else:
                self._known.add(image_id)
                return answer, 0.0
        picture, decode_s = await self._picture_decoder.input_picture(source.file)
        prompts = validate_prompts(job.prompts, picture.size, self._low_res_side)
        valid = replace(job, prompts=prompts, validated_for=picture.size)

        async def encode_and_decode() -> PromptAnswer:
            encoded = self._encoder.call("embed", image_id, picture, searched, key=image_id)
            return await result(self._decoder.call("decode", encoded, valid, key=image_id), encoded)

        answer = await retry_on_replica_loss(encode_and_decode)
        self._known.add(image_id)
        return answer, decode_s

    async def _segment_encoded(self, image_id: str, job: PromptJob) -> PromptAnswer:
        """One call where the decoder replica keeps the picture prepared; else the embedding is passed to it."""
        answer: PromptAnswer | NotPrepared = await result(
            self._decoder.call("decode_prepared", image_id, job, key=image_id)
        )
        if isinstance(answer, PromptAnswer):
            return answer
        encoded = self._encoder.call("embed", image_id, key=image_id)
        return await result(self._decoder.call("decode", encoded, job, key=image_id), encoded)

    async def embed(self, source: ImageSource) -> tuple[ImageRecord, float]:
        """(the record of the picture, whose embedding the encoder now has; seconds spent on decoding it)."""
        image_id, searched = source.image_id, False

        async def look_up() -> ImageRecord:
            return await result(self._encoder.call("record", image_id, key=image_id))

        if source.file is None or image_id in self._known:
            try:
                return await retry_on_replica_loss(look_up), 0.0
            except UnknownImage:
                self._known.discard(image_id)
                if source.file is None:
                    raise
                searched = True
        picture, decode_s = await self._picture_decoder.input_picture(source.file)

        async def encode() -> ImageRecord:
            return await result(self._encoder.call("record", image_id, picture, searched, key=image_id))

        record = await retry_on_replica_loss(encode)
        self._known.add(image_id)
        return record, decode_s

    async def embedding(self, image_id: str) -> EncodedImage:
        """The embedding itself, for a client that wants it."""
        return await retry_on_replica_loss(lambda: result(self._encoder.call("embed", image_id, key=image_id)))
