"""The Python SDK's clients of a server that is not the session's."""

from azure.identity import ClientSecretCredential
from azure.mgmt.compute import ComputeManagementClient
from azure.mgmt.resource.resources import ResourceManagementClient

from galerie_server import Server


class SdkClients:
    """Each trusts its own server, whatever the environment says."""

    def __init__(self, server: Server, **options):
        admin = server.admin
        credential = ClientSecretCredential(
            admin["tenantId"], admin["clientId"], admin["clientSecret"], authority=server.endpoint,
            disable_instance_discovery=True, connection_verify=server.ca_file,
        )  # fmt: skip
        options |= {
            "base_url": server.endpoint,
            "credential_scopes": [f"{server.endpoint}/.default"],
            "connection_verify": server.ca_file,
        }
        self.compute = ComputeManagementClient(credential, admin["subscriptionId"], **options)
        self.resources = ResourceManagementClient(credential, admin["subscriptionId"], **options)
