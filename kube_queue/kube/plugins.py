"""Authorization through exec plug-ins and auth providers, by kubernetes-asyncio."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, Any

from kube_queue.api.errors import InvalidSetting
from kube_queue.kube.kubeconfig import Context

if TYPE_CHECKING:
    import ssl

CHECK_SECONDS = 60.0


class PluginAuthorization:
    """The token, or the client certificate, that a plug-in hands out.

    The plug-in runs with the first request, when its token is about to expire, and after a
    refusal. Requests that come meanwhile wait for it.
    """

    def __init__(self, context: Context) -> None:
        self._context = context
        self._loader: Any = None
        self._value = ""
        self._check_again = 0.0
        self._running = asyncio.Lock()
        self._tls: ssl.SSLContext | None = None

    def secures(self, tls: ssl.SSLContext) -> None:
        """Certificates the plug-in hands out are presented by this context's new connections."""
        self._tls = tls

    async def header(self, *, renew: bool = False) -> str:
        """See Authorization. Raises InvalidSetting when the plug-in fails."""
        used = self._value
        async with self._running:
            # Of many requests refused at once, the first renews for all.
            stale = renew and self._value == used
            if self._loader is None or stale or self._due():
                await self._ask(anew=self._loader is None or stale)
        return self._value

    def _due(self) -> bool:
        return asyncio.get_running_loop().time() >= self._check_again and self._may_expire()

    def _may_expire(self) -> bool:
        # A plug-in that names no expiry is run again only when the server refuses its token.
        return hasattr(self._loader, "exec_plugin_expiry") or bool(self._loader.provider)

    async def _ask(self, *, anew: bool) -> None:
        from kubernetes_asyncio.client import Configuration
        from kubernetes_asyncio.config import ConfigException, load_kube_config

        configuration = Configuration()
        try:
            if anew:
                self._loader = await load_kube_config(
                    config_file=os.pathsep.join(str(file) for file in self._context.files),
                    context=self._context.name,
                    client_configuration=configuration,
                )
            else:
                await self._loader.load_and_set(configuration)
        except (ConfigException, OSError, ValueError, RuntimeError) as error:
            raise InvalidSetting(
                f"the credential plug-in failed: {error}", self._context.user.path
            ) from error
        self._value = configuration.api_key.get("BearerToken", "")
        self._check_again = asyncio.get_running_loop().time() + CHECK_SECONDS
        if self._tls is not None and configuration.cert_file:
            self._tls.load_cert_chain(configuration.cert_file, configuration.key_file)
