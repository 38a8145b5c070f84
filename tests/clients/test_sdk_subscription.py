"""Subscription aliases with azure-mgmt-subscription: the client that `az account alias` (az's `account` extension) has inside.

The extension itself is on no package registry, only in Microsoft's blob storage, so az's command cannot be run where CI runs.
"""

import pytest
from azure.core.exceptions import HttpResponseError, ResourceNotFoundError
from azure.mgmt.subscription import SubscriptionClient
from azure.mgmt.subscription.models import PutAliasRequest, PutAliasRequestProperties, Workload

from galerie_server import unique


@pytest.fixture(scope="module")
def subscriptions(server, credential):
    # The client looks nowhere else for its host and scope than in these.
    return SubscriptionClient(credential, base_url=server.endpoint, credential_scopes=[f"{server.endpoint}/.default"])


def wanted(name: str, **properties) -> PutAliasRequest:
    return PutAliasRequest(properties=PutAliasRequestProperties(display_name=name, workload=Workload.PRODUCTION, **properties))


def test_an_alias_is_created_shown_listed_and_deleted(server, subscriptions, resources):
    name = unique("staging")
    made = subscriptions.alias.begin_create(name, wanted("Staging", billing_scope="/billingAccounts/none")).result()
    assert (made.name, made.properties.provisioning_state) == (name, "Succeeded")
    subscription = made.properties.subscription_id
    assert subscriptions.alias.get(name).properties.subscription_id == subscription
    assert name in [alias.name for alias in subscriptions.alias.list().value]
    again = subscriptions.alias.begin_create(name, wanted("Staging")).result()
    assert again.properties.subscription_id == subscription, "the same alias is the same subscription"
    assert server.put(f"/subscriptions/{subscription}/resourceGroups/rg", {"location": "eastus"})["name"] == "rg"
    subscriptions.alias.delete(name)
    with pytest.raises(ResourceNotFoundError):
        subscriptions.alias.get(name)
    # The subscription outlives its alias.
    assert subscription in [known["subscriptionId"] for known in server.get("/subscriptions")["value"]]


def test_an_alias_takes_no_subscription_that_there_is(server, subscriptions):
    taken = wanted("Mine", subscription_id=server.admin["subscriptionId"])
    with pytest.raises(HttpResponseError) as refused:
        subscriptions.alias.begin_create(unique("taken"), taken).result()
    assert refused.value.status_code == 400
