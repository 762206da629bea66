// Command cel-check says whether Kubernetes 1.26 takes a CustomResourceDefinition, which it reads from standard input.
//
// It runs that version's own validation, so that a rule is compiled, and its cost estimated, as such a cluster does it.
// Every problem is a line on standard output. Exit codes: 0 none, 1 some, 2 the input is no CustomResourceDefinition.
package main

import (
	"context"
	"fmt"
	"io"
	"os"

	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/install"
	v1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/validation"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/yaml"
)

func main() {
	definition, err := readDefinition(os.Stdin)
	if err != nil {
		fmt.Fprintf(os.Stderr, "cel-check: %v; give a CustomResourceDefinition (apiextensions.k8s.io/v1) as YAML on standard input\n", err)
		os.Exit(2)
	}
	problems := validation.ValidateCustomResourceDefinition(context.Background(), definition)
	for _, problem := range problems {
		fmt.Println(problem)
	}
	if len(problems) > 0 {
		os.Exit(1)
	}
}

// readDefinition returns the definition as the API server holds it: with defaults, in its internal version.
func readDefinition(from io.Reader) (*apiextensions.CustomResourceDefinition, error) {
	text, err := io.ReadAll(from)
	if err != nil {
		return nil, err
	}
	var stated v1.CustomResourceDefinition
	if err := yaml.UnmarshalStrict(text, &stated); err != nil {
		return nil, err
	}
	if stated.APIVersion != v1.SchemeGroupVersion.String() || stated.Kind != "CustomResourceDefinition" {
		return nil, fmt.Errorf("%s %s is another kind", stated.APIVersion, stated.Kind)
	}
	scheme := runtime.NewScheme()
	install.Install(scheme)
	scheme.Default(&stated)
	var internal apiextensions.CustomResourceDefinition
	if err := scheme.Convert(&stated, &internal, nil); err != nil {
		return nil, err
	}
	return &internal, nil
}
