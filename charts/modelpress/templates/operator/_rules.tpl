{{/* What the operator may do in a namespace that it serves: rights.py, rule by rule. Never Secrets. */}}
{{- define "modelpress.rules" -}}
# What users declare; the operator never changes it.
- apiGroups: [modelpress.dev]
  resources: [compressedmodels]
  verbs: [get, list, watch]
# What it answers, by server-side apply.
- apiGroups: [modelpress.dev]
  resources: [compressedmodels/status]
  verbs: [patch]
# Owner references that block an owner's deletion: asked for where OwnerReferencesPermissionEnforcement is on.
- apiGroups: [modelpress.dev]
  resources: [compressedmodels/finalizers]
  verbs: [update]
# One for a model. Garbage collection deletes it with the model.
- apiGroups: [apps]
  resources: [deployments]
  verbs: [get, list, watch, create, patch]
# `spec.replicas` of a model without autoscaling.
- apiGroups: [apps]
  resources: [deployments/scale]
  verbs: [patch]
# One for a model.
- apiGroups: [""]
  resources: [services]
  verbs: [get, list, watch, create, patch]
# One for a model.
- apiGroups: [policy]
  resources: [poddisruptionbudgets]
  verbs: [get, list, watch, create, patch]
# One for a model that asks for autoscaling; deleted when it no longer does.
- apiGroups: [autoscaling]
  resources: [horizontalpodautoscalers]
  verbs: [get, list, watch, create, patch, delete]
# Builds. A further model that needs one becomes its owner (patch); one that nobody needs any more is ended (delete).
- apiGroups: [batch]
  resources: [jobs]
  verbs: [get, list, watch, create, patch, delete]
# Records of what was built and ends of failed builds' logs. RBAC cannot tell them from other ConfigMaps; the operator
# asks by label.
- apiGroups: [""]
  resources: [configmaps]
  verbs: [get, list, watch, create, patch]
# Nothing is deleted: a further model becomes a record's owner, and OwnerReferencesPermissionEnforcement, where it is on,
# asks for this.
- apiGroups: [""]
  resources: [configmaps]
  verbs: [delete]
# Why a pod does not run, and what a build and an unpacking handed over.
- apiGroups: [""]
  resources: [pods]
  verbs: [list, watch]
# How far a build is, and why it failed: the end of its log.
- apiGroups: [""]
  resources: [pods/log]
  verbs: [get]
# Why a Job cannot make its pod, such as a quota.
- apiGroups: [""]
  resources: [events]
  verbs: [list]
# Milestones of a model: built, rolled out, stalled.
- apiGroups: [""]
  resources: [events]
  verbs: [create]
# Whether the claims of store and data are there.
- apiGroups: [""]
  resources: [persistentvolumeclaims]
  verbs: [get]
{{- end }}
