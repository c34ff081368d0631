from __future__ import annotations

from rest_framework import serializers


class FileRulesSerializer(serializers.Serializer[dict[str, object]]):
    """Which files an account takes, and when; sizes in bytes, null: no limit."""

    moments = serializers.ListField(child=serializers.ChoiceField(["create", "after", "comment"]))
    max_count = serializers.IntegerField()
    max_bytes = serializers.IntegerField()
    max_total_bytes = serializers.IntegerField(allow_null=True)
    extensions = serializers.ListField(child=serializers.CharField())
    content_types = serializers.ListField(child=serializers.CharField())


class AccountSerializer(serializers.Serializer[dict[str, object]]):
    """What an account takes: enough to build a form from. Null: no limit, or no files."""

    alias = serializers.CharField()
    required_fields = serializers.ListField(child=serializers.CharField())
    sent_fields = serializers.ListField(child=serializers.CharField())
    subject_max = serializers.IntegerField()
    description_max = serializers.IntegerField(allow_null=True)
    comment_max = serializers.IntegerField(allow_null=True)
    categories = serializers.ListField(child=serializers.CharField())
    priorities = serializers.ListField(child=serializers.CharField())
    options = serializers.ListField(child=serializers.CharField())
    required_options = serializers.DictField(child=serializers.ListField(child=serializers.CharField()))
    option_max = serializers.DictField(child=serializers.IntegerField())
    can_comment = serializers.BooleanField()
    no_comment_reason = serializers.CharField(allow_blank=True)
    can_close = serializers.BooleanField()
    files = FileRulesSerializer(allow_null=True)
