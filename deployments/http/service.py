"""What the routes work with: the pipelines of each model, and the limits. Wired here once per replica."""

from collections.abc import Mapping
from dataclasses import dataclass

from deployments.calls.remote import RemoteDeployment
from deployments.http.admission.byte_budget import ByteBudget
from deployments.http.admission.limiter import Admission
from deployments.http.auth import ApiKeys
from deployments.http.model_service import ModelConfig, ModelRemotes, ModelService
from deployments.pipelines.known_pictures import KnownPictures
from deployments.pipelines.pictures import DecoderWorkers
from deployments.settings.server import Settings
from deployments.sizing import Sizing
from deployments.telemetry.events import EmitEvent, discard
from segmentation.backends.select import RuntimePlan
from segmentation.errors import InvalidRequest


@dataclass(frozen=True, slots=True)
class ServiceConfig:
    """What the builder decided; the same for every replica of the ingress.

    plan, sizing: of the default model.
    others: the further models that are offered.
    """

    settings: Settings
    sources: Mapping[str, str]
    plan: RuntimePlan
    sizing: Sizing
    others: tuple[ModelConfig, ...] = ()

    @property
    def default(self) -> ModelConfig:
        """The model of requests that name none."""
        return ModelConfig(self.plan, self.sizing)

    @property
    def model_identity(self) -> str:
        """Everything about the default model that an embedding depends on."""
        return self.default.identity

    @property
    def models(self) -> tuple[ModelConfig, ...]:
        """Every model that is offered, the default first."""
        return (self.default, *self.others)

    def model(self, name: str | None) -> ModelConfig:
        """The model of that name, or the default for None.

        Raises:
            InvalidRequest: it is not offered; names those that are.
        """
        for model in self.models:
            if name in {None, model.name}:
                return model
        offered = ", ".join(model.name for model in self.models)
        raise InvalidRequest(f"this server does not offer the model {str(name)[:64]!r}; it offers {offered}", "/model")


class Service:
    """The parts behind the routes, over any remote deployments; `emit` gets an event for every
    request.

    Args:
        encoder, decoder, grid: the default model's deployments.
        analyzer: of all models.
        others: those of the further models, by name.
    """

    def __init__(
        self,
        config: ServiceConfig,
        encoder: RemoteDeployment,
        decoder: RemoteDeployment,
        grid: RemoteDeployment,
        analyzer: RemoteDeployment,
        emit: EmitEvent = discard,
        others: Mapping[str, ModelRemotes] | None = None,
    ) -> None:
        self.config = config
        self.emit = emit
        self.api_keys = ApiKeys(config.settings.api_keys)
        self.admission = Admission(
            config.settings.max_queue, config.settings.max_auto_queue, config.settings.max_queue_per_key
        )
        self.body_budget = ByteBudget(int(config.settings.max_body_total_mb * 1_000_000))
        workers = DecoderWorkers(config.sizing.ingress_threads)
        self.workers = workers
        known = KnownPictures()
        remotes = {config.default.name: ModelRemotes(encoder, decoder, grid), **(others or {})}
        self.models = {
            model.name: ModelService(model, config.settings, remotes[model.name], workers, known, analyzer)
            for model in config.models
        }
        default = self.models[config.default.name]
        self.encoder, self.remotes = default.encoder, (*default.remotes, analyzer)
        self.low_res_side = default.low_res_side
        self.prompts, self.grid_resources = default.prompts, default.grid_resources
        self.analysis = default.analysis

    def model(self, name: str) -> ModelService:
        """A model that `ServiceConfig.model` found; the default for ""."""
        return self.models[name or self.config.default.name]
