"""What the Tab key offers."""

import pytest

from ocppj.control import Completer

COMMANDS = {"send": "client", "list": "", "drop": "id", "expect": "action", "quit": ""}
completer = Completer(lambda: {"CP_1": "1.6", "CP_2": "2.0.1", "CP 3": "1.6"}, COMMANDS)


@pytest.mark.parametrize(
    ("line", "candidates"),
    [
        ("", ["CP_1 ", "CP_2 ", '"CP 3" ', "send ", "list ", "drop ", "expect ", "quit "]),
        ("CP", ["CP_1 ", "CP_2 "]),
        ('"', ['"CP 3" ']),
        ("drop ", ["CP_1 ", "CP_2 ", '"CP 3" ']),
        ("drop CP_1 ", []),
        ("send CP_1 Res", ["ReserveNow ", "Reset "]),
        ("CP_1 RemoteSt", ["RemoteStartTransaction ", "RemoteStopTransaction "]),
        ("CP_2 RemoteSt", []),
        ("CP_2 RequestSt", ["RequestStartTransaction ", "RequestStopTransaction "]),
        ("CP_1 Boot", []),
        ("expect Boot", ["BootNotification "]),
        ("expect C", ["CP_1 ", "CP_2 ", "ClearedChargingLimit "]),
        ("expect CP_1 Boot", ["BootNotification "]),
        ("expect CP_1 Transaction", []),
        ("expect CP_1 BootNotification ", []),
        ('"CP 3" Rese', ["ReserveNow ", "Reset "]),
        ("CP_1 Reset ", ["type="]),
        ("CP_1 Reset type=", ["type=Hard ", "type=Soft "]),
        ("CP_1 Reset type=S", ["type=Soft "]),
        ("CP_1 Reset type=Soft ", []),
        ("CP_1 RemoteStartTransaction ", ["idTag=", "connectorId=", "chargingProfile."]),
        ("CP_1 RemoteStartTransaction idTag=1 c", ["connectorId=", "chargingProfile."]),
        ("CP_1 SetChargingProfile csChargingProfiles.chargingSchedule.charging", [
            "csChargingProfiles.chargingSchedule.chargingRateUnit=",
            "csChargingProfiles.chargingSchedule.chargingSchedulePeriod[0].",
        ]),
        ("CP_1 SetChargingProfile csChargingProfiles.chargingSchedule.chargingSchedulePeriod[0].s", [
            "csChargingProfiles.chargingSchedule.chargingSchedulePeriod[0].startPeriod=",
        ]),
        ("CP_1 GetConfiguration k", ["key="]),
        ("CP_2 SetVariableMonitoring setMonitoringData[0].transaction=", [
            "setMonitoringData[0].transaction=true ", "setMonitoringData[0].transaction=false ",
        ]),
        ("CP_1 Reset typ.", []),
        ("CP_1 Reset ..", []),
        ("CP_1 Nothing ", []),
        ("CP_9 ", []),
        ("list ", []),
        ('CP_1 DataTransfer data="a ', []),
    ],
)  # fmt: skip
def test_candidates(line, candidates):
    assert completer.complete(line) == candidates
