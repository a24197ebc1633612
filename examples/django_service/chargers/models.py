"""Chargers, and what they have charged."""

from typing import Optional

from django.db import models


class Charger(models.Model):
    """A charger that may connect. Of its password the digest is kept: see ``central.is_password``."""

    name = models.CharField(max_length=48, primary_key=True)
    digest = models.CharField(max_length=64)
    status = models.CharField(max_length=20, default="new")

    @property
    def charging(self) -> "Optional[Charging]":
        return self.charging_set.filter(stopped=None).first()


class Charging(models.Model):
    """A transaction. A charger that gets no answer begins it again: it is kept once."""

    charger = models.ForeignKey(Charger, models.CASCADE)
    connector = models.IntegerField()
    started = models.DateTimeField()
    tag = models.CharField(max_length=20)
    meter_start = models.IntegerField()
    stopped = models.DateTimeField(null=True)
    meter_stop = models.IntegerField(null=True)

    class Meta:
        """The charger says when it began."""

        unique_together = (("charger", "connector", "started"),)
