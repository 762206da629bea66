{{/* What the operator may do in a namespace that it serves. Never Secrets, never a pod of its own making. */}}
{{- define "modelpress.rules" -}}
# What users declare; the operator never changes it.
- apiGroups: [modelpress.dev]
  resources: [compressedmodels]
  verbs: [get, list, watch]
# What it answers, by server-side apply.
- apiGroups: [modelpress.dev]
  resources: [compressedmodels/status]
  verbs: [patch]
# Owner references that block an owner's deletion ask for this where OwnerReferencesPermissionEnforcement is on.
- apiGroups: [modelpress.dev]
  resources: [compressedmodels/finalizers]
  verbs: [update]
# One of each for a model, by server-side apply (create and patch). Garbage collection deletes them with the model.
- apiGroups: [apps]
  resources: [deployments]
  verbs: [get, list, watch, create, patch]
- apiGroups: [""]
  resources: [services]
  verbs: [get, list, watch, create, patch]
- apiGroups: [policy]
  resources: [poddisruptionbudgets]
  verbs: [get, list, watch, create, patch]
# Likewise, and deleted when a model no longer asks for autoscaling.
- apiGroups: [autoscaling]
  resources: [horizontalpodautoscalers]
  verbs: [get, list, watch, create, patch, delete]
# `spec.replicas` of a model without autoscaling.
- apiGroups: [apps]
  resources: [deployments/scale]
  verbs: [patch]
# Builds. A further model that needs one becomes its owner (patch).
- apiGroups: [batch]
  resources: [jobs]
  verbs: [get, list, watch, create, patch]
# Records of what was built: one a recipe. RBAC cannot tell them from other ConfigMaps; the operator asks by label.
- apiGroups: [""]
  resources: [configmaps]
  verbs: [get, list, watch, create, patch]
# Why a pod does not run, what a build and an unpacking handed over, and how far a build is (the end of its log).
- apiGroups: [""]
  resources: [pods]
  verbs: [list, watch]
- apiGroups: [""]
  resources: [pods/log]
  verbs: [get]
# Why a Job cannot make its pod, such as a quota.
- apiGroups: [""]
  resources: [events]
  verbs: [list]
# Whether the claims of store and data are there.
- apiGroups: [""]
  resources: [persistentvolumeclaims]
  verbs: [get]
{{- end }}
